package resource

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"
)

// pageOf returns a page of single letters of which upper case ones have metrics.
func pageOf(letters string, options metainternalversion.ListOptions) (string, string, *int64, error) {
	items, listMeta, err := page(strings.Split(letters, ""), &options,
		func(letter string) position { return position{Namespace: "shop", Name: strings.ToLower(letter)} },
		func(letter string) (string, bool) { return letter, letter == strings.ToUpper(letter) })
	return strings.Join(items, ""), listMeta.Continue, listMeta.RemainingItemCount, err
}

func TestPage(t *testing.T) {
	t.Parallel()
	after := func(letter string) string {
		token, err := encodeContinue(position{Namespace: "shop", Name: letter})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	tests := map[string]struct {
		letters       string
		options       metainternalversion.ListOptions
		want          string
		wantContinue  string
		wantRemaining *int64
	}{
		"no limit": {
			letters: "AbCD", want: "ACD",
		},
		"a limit that is not reached": {
			letters: "AbCD", options: metainternalversion.ListOptions{Limit: 4}, want: "ACD",
		},
		"a limit that is just reached": {
			letters: "AbCDe", options: metainternalversion.ListOptions{Limit: 3}, want: "ACD",
		},
		"a limit counts what has metrics": {
			letters: "AbCD", options: metainternalversion.ListOptions{Limit: 2},
			want: "AC", wantContinue: after("c"), wantRemaining: ptr.To[int64](1),
		},
		"the rest of a page": {
			letters: "AbCD", options: metainternalversion.ListOptions{Limit: 2, Continue: after("c")}, want: "D",
		},
		"the rest without a limit": {
			letters: "AbCD", options: metainternalversion.ListOptions{Continue: after("a")}, want: "CD",
		},
		"the last object of a page is gone": {
			letters: "ABD", options: metainternalversion.ListOptions{Limit: 2, Continue: after("c")}, want: "D",
		},
		"objects have come before and after": {
			letters: "ABCDE", options: metainternalversion.ListOptions{Limit: 1, Continue: after("c")},
			want: "D", wantContinue: after("d"), wantRemaining: ptr.To[int64](1),
		},
		"nothing is left": {
			letters: "ABC", options: metainternalversion.ListOptions{Limit: 2, Continue: after("c")},
		},
		"no count with a label selector": {
			letters: "ABC",
			options: metainternalversion.ListOptions{Limit: 1, LabelSelector: labels.SelectorFromSet(labels.Set{"a": "b"})},
			want:    "A", wantContinue: after("a"),
		},
		"no count with a field selector": {
			letters: "ABC",
			options: metainternalversion.ListOptions{Limit: 1, FieldSelector: fields.OneTermEqualSelector("a", "b")},
			want:    "A", wantContinue: after("a"),
		},
		"a count with empty selectors": {
			letters: "ABC",
			options: metainternalversion.ListOptions{
				Limit: 1, LabelSelector: labels.Everything(), FieldSelector: fields.Everything(),
			},
			want: "A", wantContinue: after("a"), wantRemaining: ptr.To[int64](2),
		},
		"a negative limit is none": {
			letters: "ABC", options: metainternalversion.ListOptions{Limit: -1}, want: "ABC",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, gotContinue, gotRemaining, err := pageOf(test.letters, test.options)
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want || gotContinue != test.wantContinue {
				t.Errorf("items %q and continue %q, want %q and %q", got, gotContinue, test.want, test.wantContinue)
			}
			if diff := cmp.Diff(test.wantRemaining, gotRemaining); diff != "" {
				t.Errorf("remaining (-want +got):\n%s", diff)
			}
		})
	}
}

func TestContinueTokensThatWereNotIssued(t *testing.T) {
	t.Parallel()
	encode := base64.RawURLEncoding.EncodeToString
	tests := map[string]struct {
		token string
		is    func(error) bool
	}{
		"not base64":             {token: "%", is: apierrors.IsBadRequest},
		"not JSON":               {token: encode([]byte("x")), is: apierrors.IsBadRequest},
		"trailing data":          {token: encode([]byte(`{"v":1,"n":"a"}{}`)), is: apierrors.IsBadRequest},
		"another field":          {token: encode([]byte(`{"v":1,"n":"a","x":1}`)), is: apierrors.IsBadRequest},
		"a field twice":          {token: encode([]byte(`{"v":1,"n":"b","n":"a"}`)), is: apierrors.IsBadRequest},
		"a name of another type": {token: encode([]byte(`{"v":1,"n":1}`)), is: apierrors.IsBadRequest},
		"padded":                 {token: encode([]byte(`{"v":1,"n":"a"}`)) + "==", is: apierrors.IsBadRequest},
		"too long": {
			token: encode([]byte(`{"v":1,"n":"` + strings.Repeat("a", maxContinueLength) + `"}`)),
			is:    apierrors.IsBadRequest,
		},
		"another version": {token: encode([]byte(`{"v":2,"k":"a"}`)), is: apierrors.IsResourceExpired},
		"a kube-apiserver's": {
			token: encode([]byte(`{"v":"meta.k8s.io/v1","rv":1,"start":"a"}`)),
			is:    apierrors.IsBadRequest,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, _, err := pageOf("ABC", metainternalversion.ListOptions{Continue: test.token})
			if err == nil || !test.is(err) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestLongestContinueTokenIsAccepted(t *testing.T) {
	t.Parallel()
	want := position{Namespace: strings.Repeat("n", 63), Name: strings.Repeat("p", 253)}
	token, err := encodeContinue(want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decodeContinue(token); err != nil || got != want {
		t.Errorf("%v, %v", got, err)
	}
}

func FuzzDecodeContinue(f *testing.F) {
	for _, seed := range []string{`{"v":1,"n":"a"}`, `{"v":1,"ns":"shop","n":"cart"}`, `{"v":2}`, `{"v":1,"n":"\u2028<"}`} {
		f.Add(base64.RawURLEncoding.EncodeToString([]byte(seed)))
	}
	f.Fuzz(func(t *testing.T, token string) {
		last, err := decodeContinue(token)
		if err != nil {
			return
		}
		if again, err := encodeContinue(last); err != nil || again != token {
			t.Errorf("token %q means %v, which is %q, %v", token, last, again, err)
		}
	})
}
