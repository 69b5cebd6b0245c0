package kubelet

import (
	"log"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if kubelets, ok := os.LookupEnv(fleetVariable); ok {
		if err := runFleet(kubelets); err != nil {
			log.Fatal(err)
		}
		return
	}
	// A proxy where nobody listens. net/http looks for it once in the life of a process.
	os.Setenv("HTTPS_PROXY", "https://127.0.0.1:1")
	// client-go watches the files of a client certificate until the garbage collector takes the transport.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("k8s.io/client-go/transport.(*dynamicClientCert).run"),
		goleak.IgnoreAnyFunction("k8s.io/client-go/transport.(*dynamicClientCert).runWorker"),
		goleak.IgnoreAnyFunction("k8s.io/client-go/util/workqueue.(*delayingType[...]).waitingLoop"),
		goleak.IgnoreAnyFunction("k8s.io/apimachinery/pkg/util/wait.PollImmediateUntil"),
		goleak.IgnoreAnyFunction("k8s.io/apimachinery/pkg/util/wait.PollImmediateUntilWithContext.poller.func1.1"),
	)
}
