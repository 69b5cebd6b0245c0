package pki

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"testing"
)

func parse(t *testing.T, certPEM []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(certPEM)
	if block == nil {
		t.Fatal("not PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestIssue(t *testing.T) {
	t.Parallel()
	ca, err := NewAuthority("ca")
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewAuthority("ca") // the same name, another key
	if err != nil {
		t.Fatal(err)
	}
	client := Subject{User: "system:node:real", Groups: []string{"system:nodes"}}
	server := Subject{User: "kubelet", Hosts: []string{"198.18.0.2", "real"}}
	tests := map[string]struct {
		subject Subject
		roots   *Authority
		host    string
		usage   x509.ExtKeyUsage
		wantErr bool
	}{
		"a client is verified by its authority":           {subject: client, roots: ca, usage: x509.ExtKeyUsageClientAuth},
		"a client is no server":                           {subject: client, roots: ca, usage: x509.ExtKeyUsageServerAuth, wantErr: true},
		"another authority of the same name verifies not": {subject: client, roots: other, usage: x509.ExtKeyUsageClientAuth, wantErr: true},
		"a server is verified by its address":             {subject: server, roots: ca, host: "198.18.0.2", usage: x509.ExtKeyUsageServerAuth},
		"a server is verified by its name":                {subject: server, roots: ca, host: "real", usage: x509.ExtKeyUsageServerAuth},
		"a server has no other address":                   {subject: server, roots: ca, host: "198.18.0.3", usage: x509.ExtKeyUsageServerAuth, wantErr: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pair, err := ca.Issue(test.subject)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tls.X509KeyPair(pair.CertPEM, pair.KeyPEM); err != nil {
				t.Fatalf("certificate and key do not belong together: %v", err)
			}
			cert := parse(t, pair.CertPEM)
			if cert.Subject.CommonName != test.subject.User {
				t.Errorf("user = %q, want %q", cert.Subject.CommonName, test.subject.User)
			}
			roots := x509.NewCertPool()
			roots.AddCert(parse(t, test.roots.CertPEM))
			_, err = cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: test.host, KeyUsages: []x509.ExtKeyUsage{test.usage}})
			if (err != nil) != test.wantErr {
				t.Errorf("verify: %v, want an error: %v", err, test.wantErr)
			}
		})
	}
}
