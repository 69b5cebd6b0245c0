// Package etcd writes objects to where an API server keeps them, in the way in which it keeps them. It is many times faster
// than to create them.
package etcd

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"path"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// prefix is the one that kube-apiserver has if nobody says otherwise.
	prefix = "/registry"
	// batch is how many keys a transaction writes: as many as etcd takes if nobody says otherwise.
	batch       = 128
	writers     = 2
	dialTimeout = 10 * time.Second
)

// Write writes objects of the core group. The resource is as in the keys of kube-apiserver, which says minions for nodes. The
// objects must have all that the API server would have given them, such as a UID.
func Write(ctx context.Context, url, resource string, objects iter.Seq[client.Object]) error {
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{url}, DialTimeout: dialTimeout})
	if err != nil {
		return fmt.Errorf("etcd at %s: %w", url, err)
	}
	defer c.Close()
	// The API server takes a revision for complete when it has seen one key of it, since it writes one at a time. Whoever lists in
	// that moment would never learn of the others. What is written last and alone comes after them all.
	last, err := writeBatches(ctx, c, resource, objects)
	if err == nil && last.IsPut() {
		_, err = c.Do(ctx, last)
	}
	if err != nil {
		return fmt.Errorf("write %s to etcd: %w", resource, err)
	}
	return nil
}

// writeBatches writes all objects but the last one, and returns what would write that.
func writeBatches(ctx context.Context, c *clientv3.Client, resource string, objects iter.Seq[client.Object]) (last clientv3.Op, err error) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	flush := func(puts []clientv3.Op) {
		group.Go(func() error {
			_, err := c.Txn(ctx).Then(puts...).Commit()
			return err
		})
	}
	puts := make([]clientv3.Op, 0, batch)
	for object := range objects {
		if ctx.Err() != nil {
			break // Why is for Wait to tell.
		}
		value, err := encode(object)
		if err != nil {
			group.Go(func() error { return err })
			break
		}
		if last.IsPut() {
			puts = append(puts, last)
		}
		last = clientv3.OpPut(key(resource, object), value)
		if len(puts) == batch {
			flush(puts)
			puts = make([]clientv3.Op, 0, batch)
		}
	}
	if len(puts) > 0 {
		flush(puts)
	}
	return last, group.Wait()
}

// key returns where the API server stores an object.
func key(resource string, object client.Object) string {
	return path.Join(prefix, resource, object.GetNamespace(), object.GetName())
}

// encode returns what the API server stores.
func encode(object runtime.Object) (string, error) {
	serializer := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)
	var b bytes.Buffer
	if err := scheme.Codecs.EncoderForVersion(serializer, corev1.SchemeGroupVersion).Encode(object, &b); err != nil {
		return "", err
	}
	return b.String(), nil
}
