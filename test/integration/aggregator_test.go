package integration

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	apiregistration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"
	metrics "k8s.io/metrics/pkg/client/clientset/versioned"
)

// register makes kube-apiserver hand requests for both versions of metrics.k8s.io to a gateway, and waits until it does.
func (b *bed) register(t *testing.T, g *gateway) {
	t.Helper()
	b.registerAPIs(t, g, "metrics-gateway", schema.GroupVersion{Group: "metrics.k8s.io", Version: "v1"},
		schema.GroupVersion{Group: "metrics.k8s.io", Version: "v1beta1"})
}

// registerAPIs makes kube-apiserver hand requests for versions of APIs to a gateway, which is a Service with the name to it,
// and waits until it does.
func (b *bed) registerAPIs(t *testing.T, g *gateway, name string, versions ...schema.GroupVersion) {
	t.Helper()
	client, err := aggregator.NewForConfig(b.config)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.WithoutCancel(t.Context())
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: name},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "localhost"},
	}
	services := b.client.CoreV1().Services(service.Namespace)
	if _, err := services.Create(ctx, service, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := services.Delete(ctx, service.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	port := int32(g.port)
	for _, version := range versions {
		registration := &apiregistration.APIService{
			ObjectMeta: metav1.ObjectMeta{Name: version.Version + "." + version.Group},
			Spec: apiregistration.APIServiceSpec{
				Group: version.Group, Version: version.Version,
				Service:               &apiregistration.ServiceReference{Namespace: service.Namespace, Name: service.Name, Port: &port},
				InsecureSkipTLSVerify: true,
				GroupPriorityMinimum:  100, VersionPriority: 100,
			},
		}
		registrations := client.ApiregistrationV1().APIServices()
		if _, err := registrations.Create(ctx, registration, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := registrations.Delete(ctx, registration.Name, metav1.DeleteOptions{}); err != nil {
				t.Error(err)
			}
		})
		waitUntil(t, 30*time.Second, registration.Name+" is available", func() error {
			got, err := registrations.Get(ctx, registration.Name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			for _, condition := range got.Status.Conditions {
				if condition.Type == apiregistration.Available && condition.Status == apiregistration.ConditionTrue {
					return nil
				}
			}
			return fmt.Errorf("conditions %v", got.Status.Conditions)
		})
	}
}

// line is one object of a list, as far as the tests compare it.
type line struct{ Name, CPU, Memory, Window string }

// readers list pods of the test's namespace in one version of the API.
var readers = map[string]func(context.Context, metrics.Interface) ([]line, error){
	"v1": func(ctx context.Context, client metrics.Interface) ([]line, error) {
		list, err := client.MetricsV1().PodMetricses(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		var lines []line
		for _, item := range list.Items {
			for _, c := range item.Containers {
				lines = append(lines, line{item.Name + "/" + c.Name, c.Usage.Cpu().String(), c.Usage.Memory().String(), item.Window.Duration.String()})
			}
		}
		return lines, nil
	},
	"v1beta1": func(ctx context.Context, client metrics.Interface) ([]line, error) {
		list, err := client.MetricsV1beta1().PodMetricses(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		var lines []line
		for _, item := range list.Items {
			for _, c := range item.Containers {
				lines = append(lines, line{item.Name + "/" + c.Name, c.Usage.Cpu().String(), c.Usage.Memory().String(), item.Window.Duration.String()})
			}
		}
		return lines, nil
	},
}

func TestReadsThroughTheAggregator(t *testing.T) {
	b := requireBed(t)
	b.addKubelet(t, "node-a", 1)
	b.addKubelet(t, "node-b", 2)
	g := b.startGateway(t)
	g.waitServing() // An APIService that is found unavailable is tried again much later.
	b.register(t, g)

	want := []line{
		{"node-a-pod/app", "250m", "64Mi", "10s"},
		{"node-b-pod/app", "250m", "64Mi", "10s"},
	}
	for _, contentType := range []string{"application/json", "application/vnd.kubernetes.protobuf"} {
		config := rest.CopyConfig(b.config)
		config.ContentType = contentType
		client, err := metrics.NewForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		for version, read := range readers {
			waitUntil(t, 30*time.Second, version+" lists both pods as "+contentType, func() error {
				got, err := read(t.Context(), client)
				if err != nil {
					return err
				}
				if diff := cmp.Diff(want, got); diff != "" {
					return errors.New(diff)
				}
				return nil
			})
		}
	}

	checkHealthBodies(t, g)
	checkOwnMetrics(t, g)
	checkDiscovery(t, b, g)

	kubectl := map[string]string{
		"top nodes":                 `(?m)^node-a +250m +6% +64Mi +0% *$`,
		"top pods -n shop":          `(?m)^node-b-pod +250m +64Mi *$`,
		"top pods -A --containers":  `(?m)^shop +node-a-pod +app +250m +64Mi *$`,
		"top pods -n shop -l app=x": `^No resources found in shop namespace.\n$`,
		"get podmetrics -n shop":    `(?m)^node-a-pod +250m +64Mi +4Ki +10s *$`,
		"get nodemetrics node-b":    `(?m)^node-b +250m +64Mi +10s *$`,
		"api-resources --api-group=metrics.k8s.io --no-headers":                                            `(?m)^pods +metrics.k8s.io/v1 +true +PodMetrics *$`,
		"get --raw /apis/metrics.k8s.io/v1beta1/namespaces/shop/pods?fieldSelector=spec.nodeName%3Dnode-a": `"name":"node-a-pod"`,
	}
	for args, want := range kubectl {
		t.Run("kubectl "+args, func(t *testing.T) {
			command := exec.CommandContext(t.Context(), b.env.ControlPlane.KubectlPath,
				append([]string{"--kubeconfig=" + b.kubeconfig}, strings.Fields(args)...)...)
			got, err := command.CombinedOutput()
			if err != nil || !regexp.MustCompile(want).Match(got) {
				t.Errorf("error %v, output:\n%s\nwant a match of %s", err, got, want)
			}
		})
	}
}
