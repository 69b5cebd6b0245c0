package prometheus

import (
	"strings"
	"testing"
)

func TestResultsThatAreReadAtOnceShareABudget(t *testing.T) {
	t.Parallel()
	document := vector(`{"metric":{"pod":"a"},"value":[1,"1"]},{"metric":{"pod":"b"},"value":[1,"2"]}`)
	shared := new(budget)
	d := newDecoder(shared)
	read := func() error {
		_, err := d.decodeQuery(strings.NewReader(document))
		return err
	}
	if err := read(); err != nil {
		t.Fatal(err)
	}
	if left := shared.used.Load(); left != 0 {
		t.Errorf("%d bytes are taken after a result was read, want none", left)
	}

	// Others leave room for one of the two samples.
	const others = maxDecoding - 100
	shared.take(others)
	if failed := failureOf(t, read()); failed.Class != ClassOverloaded {
		t.Errorf("class %s, want %s", failed.Class, ClassOverloaded)
	}
	if used := shared.used.Load(); used != others {
		t.Errorf("%d bytes are taken after a result was refused, want the %d of others", used, others)
	}
	shared.put(others)
	if err := read(); err != nil {
		t.Errorf("after others have gone: %v", err)
	}
}
