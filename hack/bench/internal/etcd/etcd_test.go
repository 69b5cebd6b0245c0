package etcd

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
)

func TestAnObjectIsStoredAsTheAPIServerStoresIt(t *testing.T) {
	t.Parallel()
	want := &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cart-0", UID: "7", Labels: map[string]string{"app": "cart"}},
		Spec:       corev1.PodSpec{NodeName: "node-1", Containers: []corev1.Container{{Name: "cart"}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning},
	}
	value, err := encode(want)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(value, "k8s\x00") {
		t.Errorf("the value begins with %q", value[:4])
	}
	got, kind, err := scheme.Codecs.UniversalDeserializer().Decode([]byte(value), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if kind.String() != "/v1, Kind=Pod" {
		t.Errorf("the value is a %s", kind)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pod (-want +got):\n%s", diff)
	}
}

func TestKeysAreThoseOfTheAPIServer(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		resource, namespace, name, want string
	}{
		"in a namespace": {"pods", "shop", "cart-0", "/registry/pods/shop/cart-0"},
		"in none":        {"minions", "", "node-1", "/registry/minions/node-1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			object := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: test.namespace, Name: test.name}}
			if got := key(test.resource, object); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}
