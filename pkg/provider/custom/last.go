package custom

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/lru"

	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/internal/metricapi"
)

// maxLastValues bounds the values that are kept, for about 20 MB. The ones that were not read for the longest time go
// first: a request for them finds none, as it does after a start.
const maxLastValues = 50_000

// lastValues are the last values there were, for rules that serve them when there is none now. It is safe for
// concurrent use.
type lastValues struct {
	values *lru.Cache // Of naming.Object by lastKey.
}

// lastKey tells values apart. A rule is named by its query: its place in the file may become another rule's.
type lastKey struct {
	query, series, label, selector string
	resource                       schema.GroupResource
	namespace, name                string
}

func newLastValues() *lastValues { return &lastValues{lru.New(maxLastValues)} }

// fill gives objects without a sample the value they had last, with its time, unless it is too old by now, and keeps the
// values of the others. It tells whether it gave any. It gives none if samples lack the label of their object: nothing is
// known of objects then. The time now is in milliseconds since the Unix epoch.
func (l *lastValues) fill(plan *naming.CustomPlan, selector string, result *naming.CustomResult, now int64) bool {
	key := lastKey{
		query: plan.Rule.Spec().MetricsQuery, series: plan.Series, label: plan.Label, selector: selector,
		resource: plan.Resource, namespace: plan.Namespace,
	}
	filled := false
	for i := range result.Objects {
		object := &result.Objects[i]
		key.name = object.Name
		switch {
		case object.State == naming.Served:
			l.values.Add(key, naming.Object{Name: object.Name, State: naming.Served, Milli: object.Milli, Time: object.Time})
		case object.State == naming.Missing && result.Dropped.Count[naming.NoLabel] == 0:
			value, ok := l.values.Get(key)
			if !ok {
				continue
			}
			if last := value.(naming.Object); metricapi.TooOld(last.Time, now) { // Only fill adds values.
				l.values.Remove(key)
			} else {
				*object, filled = last, true
			}
		}
	}
	return filled
}
