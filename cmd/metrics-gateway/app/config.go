package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/metrics-gateway/metrics-gateway/internal/version"
	"github.com/metrics-gateway/metrics-gateway/pkg/server"
)

const (
	// clientQPS and clientBurst limit requests to the API server by default. In steady state there are none but watches;
	// at the start a handful of lists, page by page. prometheus-adapter, which lists for each request, has 5 and 10.
	clientQPS, clientBurst = 20, 40

	// apiServerTimeout bounds the wait for an API server that does not answer. It is longer than a blip and shorter than
	// the patience of who reads the terminal; after it the kubelet restarts the container with its own backoff.
	apiServerTimeout = 15 * time.Second
	// apiServerRequestTimeout bounds one request of that wait, and apiServerInterval is how often one is made.
	apiServerRequestTimeout = 5 * time.Second
	apiServerInterval       = time.Second
)

// restConfig returns how the API server is reached.
func (o *options) restConfig() (*rest.Config, error) {
	var config *rest.Config
	var err error
	o.kubeconfig = cmp.Or(o.kubeconfig, o.listerKubeconfig)
	if o.kubeconfig == "" {
		config, err = rest.InClusterConfig()
		if errors.Is(err, rest.ErrNotInCluster) {
			return nil, errors.New("this is not a pod of a cluster: pass --kubeconfig to say where the API server is")
		}
		if err != nil {
			return nil, fmt.Errorf("credentials of this pod: %w", err)
		}
	} else {
		config, err = clientcmd.BuildConfigFromFlags("", o.kubeconfig)
		if err != nil {
			return nil, fmt.Errorf("--kubeconfig %q: %w", o.kubeconfig, err)
		}
	}
	config.UserAgent = name + "/" + version.Get().Version
	return config, nil
}

// limited returns the configuration with the limits of the command line.
func (o *options) limited(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = o.clientQPS, o.clientBurst
	return config
}

// newClient returns a client of the API server.
func newClient(config *rest.Config) (kubernetes.Interface, error) {
	config = rest.CopyConfig(config)
	// Lists of pods are several times smaller and cheaper to decode as protobuf than as JSON.
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("client of the API server: %w", err)
	}
	return client, nil
}

// waitForAPIServer returns when the API server answers, or the reason why it does not. Whatever follows needs it, and
// reports its absence less clearly.
func waitForAPIServer(ctx context.Context, client kubernetes.Interface, host string) error {
	retry := time.NewTicker(apiServerInterval)
	defer retry.Stop()
	for started, first := time.Now(), true; ; first = false {
		err := client.Discovery().RESTClient().Get().AbsPath("/version").Timeout(apiServerRequestTimeout).Do(ctx).Error()
		switch {
		case err == nil, apierrors.IsForbidden(err):
			return nil
		case apierrors.IsUnauthorized(err):
			return fmt.Errorf("the API server at %s refuses the credentials: %w", host, err)
		case time.Since(started) > apiServerTimeout:
			return fmt.Errorf("the API server at %s does not answer: %w: check that it runs and can be reached from here", host, err)
		case first:
			klog.FromContext(ctx).Info("API server does not answer, trying again", "host", host, "for", apiServerTimeout, "err", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-retry.C:
		}
	}
}

// genericConfig returns the generic API server's configuration with every group of options applied, and the informers
// that priority and fairness needs. It opens the port.
func (o *options) genericConfig(client kubernetes.Interface) (*genericapiserver.Config, informers.SharedInformerFactory, error) {
	o.defaultKubeconfigs()
	config := genericapiserver.NewConfig(server.Codecs())
	if err := o.generic.ApplyTo(config); err != nil {
		return nil, nil, err
	}
	address := net.JoinHostPort(o.secureServing.BindAddress.String(), strconv.Itoa(o.secureServing.BindPort))
	if err := o.secureServing.MaybeDefaultWithSelfSignedCerts("localhost", nil, []net.IP{net.IPv4(127, 0, 0, 1)}); err != nil {
		return nil, nil, fmt.Errorf("self-signed serving certificate in --cert-dir %q: %w", o.secureServing.ServerCert.CertDirectory, err)
	}
	if err := o.secureServing.ApplyTo(&config.SecureServing, &config.LoopbackClientConfig); err != nil {
		return nil, nil, fmt.Errorf("secure serving on %s: %w", address, err)
	}
	if err := o.authentication.ApplyTo(&config.Authentication, config.SecureServing, nil); err != nil {
		// The library has flattened the error: its text is all that tells what it is about.
		if strings.Contains(err.Error(), `"extension-apiserver-authentication"`) {
			err = fmt.Errorf("%w: check that this account has the role extension-apiserver-authentication-reader in kube-system", err)
		}
		return nil, nil, fmt.Errorf("authentication: %w", err)
	}
	server.RememberFrontProxy(&config.Authentication, clock.RealClock{})
	if err := o.authorization.ApplyTo(&config.Authorization); err != nil {
		return nil, nil, fmt.Errorf("authorization: %w", err)
	}
	if err := o.audit.ApplyTo(config); err != nil {
		return nil, nil, fmt.Errorf("auditing: %w", err)
	}
	var shared informers.SharedInformerFactory
	if o.features.EnablePriorityAndFairness {
		shared = informers.NewSharedInformerFactory(client, 0)
	}
	if err := o.features.ApplyTo(config, client, shared); err != nil {
		return nil, nil, fmt.Errorf("features: %w", err)
	}
	return config, shared, nil
}

// defaultKubeconfigs makes --kubeconfig do for authentication and authorization too where there is no pod whose
// credentials they would use.
func (o *options) defaultKubeconfigs() {
	if _, err := rest.InClusterConfig(); !errors.Is(err, rest.ErrNotInCluster) {
		return
	}
	if o.authentication.RemoteKubeConfigFile == "" {
		o.authentication.RemoteKubeConfigFile = o.kubeconfig
	}
	if o.authorization.RemoteKubeConfigFile == "" {
		o.authorization.RemoteKubeConfigFile = o.kubeconfig
	}
}
