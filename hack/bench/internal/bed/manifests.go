package bed

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// manifests are the files that say what a server may do, from the root of the checkout. The rights of metrics-server and
// prometheus-adapter are among them.
var manifests = []string{
	"deploy/kustomize/base/serviceaccount.yaml",
	"deploy/kustomize/base/rbac.yaml",
	"deploy/kustomize/components/*/rbac.yaml",
}

// addManifests creates what the manifests say, and returns a token of the account among it.
func addManifests(ctx context.Context, config *rest.Config) (token string, err error) {
	objects, err := readManifests(manifests)
	if err != nil {
		return "", err
	}
	creator, err := client.New(config, client.Options{Scheme: scheme.Scheme})
	if err != nil {
		return "", err
	}
	var account *corev1.ServiceAccount
	for _, object := range objects {
		if err := creator.Create(ctx, object); err != nil {
			return "", err
		}
		if a, ok := object.(*corev1.ServiceAccount); ok {
			account = a
		}
	}
	if account == nil {
		return "", fmt.Errorf("no ServiceAccount in %s", manifests[0])
	}
	tokens, err := kubernetes.NewForConfig(config)
	if err != nil {
		return "", err
	}
	return newToken(ctx, tokens, account.Namespace, account.Name)
}

// readManifests returns the objects of files that match patterns. Every pattern must match something.
func readManifests(patterns []string) ([]client.Object, error) {
	var out []client.Object
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("%s: no such file; the benchmark is to be run in the root of the checkout", pattern)
		}
		for _, file := range files {
			objects, err := readManifest(file)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			out = append(out, objects...)
		}
	}
	return out, nil
}

// readManifest returns the objects of a file.
func readManifest(file string) ([]client.Object, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var out []client.Object
	decoder := scheme.Codecs.UniversalDeserializer()
	for documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text))); ; {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		decoded, kind, err := decoder.Decode(document, nil, nil)
		if err != nil {
			return nil, err
		}
		object, ok := decoded.(client.Object)
		if !ok {
			return nil, fmt.Errorf("%s is no object that can be created", kind)
		}
		out = append(out, object)
	}
}
