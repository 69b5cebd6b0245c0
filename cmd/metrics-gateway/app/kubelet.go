package app

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
)

// kubeletOptions say how kubelets are reached. Names, defaults and messages are those of metrics-server.
type kubeletOptions struct {
	Port                  int
	UseNodeStatusPort     bool
	PreferredAddressTypes []string
	RequestTimeout        time.Duration
	InsecureTLS           bool
	CertificateAuthority  string
	ClientCertificate     string
	ClientKey             string
	CompletelyInsecure    bool
}

func newKubeletOptions() *kubeletOptions {
	return &kubeletOptions{
		Port:                  10250,
		PreferredAddressTypes: addressTypes(),
		RequestTimeout:        10 * time.Second,
	}
}

// addressTypes are the types that a Node can list addresses under, in the order they are tried by default.
func addressTypes() []string {
	return []string{
		string(corev1.NodeHostName),
		string(corev1.NodeInternalDNS),
		string(corev1.NodeInternalIP),
		string(corev1.NodeExternalDNS),
		string(corev1.NodeExternalIP),
	}
}

func (o *kubeletOptions) addFlags(fs *pflag.FlagSet) {
	fs.IntVar(&o.Port, "kubelet-port", o.Port,
		"The port to connect to kubelets on.")
	fs.BoolVar(&o.UseNodeStatusPort, "kubelet-use-node-status-port", o.UseNodeStatusPort,
		"Use the port in the node's status, where there is one, rather than --kubelet-port.")
	fs.StringSliceVar(&o.PreferredAddressTypes, "kubelet-preferred-address-types", o.PreferredAddressTypes,
		"The types of node address to connect to, the most wanted first. The first type that a node has an address of is used.")
	fs.DurationVar(&o.RequestTimeout, "kubelet-request-timeout", o.RequestTimeout,
		"How long one request to a kubelet may take.")
	fs.BoolVar(&o.InsecureTLS, "kubelet-insecure-tls", o.InsecureTLS,
		"Do not verify the serving certificates of kubelets. For testing only: whoever answers at a node's address is sent the credentials.")
	fs.StringVar(&o.CertificateAuthority, "kubelet-certificate-authority", o.CertificateAuthority,
		"File with the certificates that kubelets' serving certificates are verified against. If empty, the API server's are used.")
	fs.StringVar(&o.ClientCertificate, "kubelet-client-certificate", o.ClientCertificate,
		"File with the client certificate to present to kubelets. If empty, the credentials for the API server are used.")
	fs.StringVar(&o.ClientKey, "kubelet-client-key", o.ClientKey,
		"File with the key of --kubelet-client-certificate.")
	fs.BoolVar(&o.CompletelyInsecure, "deprecated-kubelet-completely-insecure", o.CompletelyInsecure,
		"DEPRECATED: use plain HTTP and no credentials for kubelets.")
}

// verified tells whether kubelets must prove who they are.
func (o *kubeletOptions) verified() bool {
	return !o.InsecureTLS && !o.CompletelyInsecure
}

// warn logs what nobody should want.
func (o *kubeletOptions) warn(logger klog.Logger) {
	if !o.verified() {
		logger.Info("Not verifying who answers at the addresses of kubelets, use --kubelet-certificate-authority outside of test clusters")
	}
}

// validate returns what is wrong with the options, in the words that metrics-server's users look up.
func (o *kubeletOptions) validate() []error {
	var errs []error
	exclusive := func(a string, aSet bool, b string, bSet bool) {
		if aSet && bSet {
			errs = append(errs, fmt.Errorf("cannot use both --%s and --%s", a, b))
		}
	}
	const insecureTLS, authority = "kubelet-insecure-tls", "kubelet-certificate-authority"
	const certificate, key = "kubelet-client-certificate", "kubelet-client-key"
	const plain = "deprecated-kubelet-completely-insecure"
	exclusive(authority, o.CertificateAuthority != "", insecureTLS, o.InsecureTLS)
	exclusive(key, o.ClientKey != "", plain, o.CompletelyInsecure)
	exclusive(certificate, o.ClientCertificate != "", plain, o.CompletelyInsecure)
	exclusive(insecureTLS, o.InsecureTLS, plain, o.CompletelyInsecure)
	exclusive(authority, o.CertificateAuthority != "", plain, o.CompletelyInsecure)
	if (o.ClientKey == "") != (o.ClientCertificate == "") {
		errs = append(errs, fmt.Errorf("need both --%s and --%s", key, certificate))
	}
	if o.RequestTimeout <= 0 {
		errs = append(errs, errors.New("kubelet-request-timeout should be positive"))
	}
	if o.Port < 1 || o.Port > 65535 {
		errs = append(errs, fmt.Errorf("kubelet-port should be between 1 and 65535, but value %d provided", o.Port))
	}
	if len(o.PreferredAddressTypes) == 0 {
		errs = append(errs, fmt.Errorf("kubelet-preferred-address-types should name at least one of %s", strings.Join(addressTypes(), ", ")))
	}
	for _, addressType := range o.PreferredAddressTypes {
		if !slices.Contains(addressTypes(), addressType) {
			errs = append(errs, fmt.Errorf("kubelet-preferred-address-types should name only %s, but value %q provided",
				strings.Join(addressTypes(), ", "), addressType))
		}
	}
	return errs
}
