package prometheus

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestList(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		document string
		limit    int
		want     []string
		listing  Listing
	}{
		"names":                     {document: `{"status":"success","data":["a","b\u00e9"]}`, want: []string{"a", "bé"}, listing: Listing{Count: 2}},
		"an empty list":             {document: `{"status":"success","data":[]}`},
		"P3: data that is null":     {document: `{"status":"success","data":null}`},
		"no data":                   {document: `{"status":"success"}`},
		"as many as the limit":      {document: `{"status":"success","data":["a","b"]}`, limit: 2, want: []string{"a", "b"}, listing: Listing{Count: 2}},
		"more than the limit":       {document: `{"status":"success","data":["a","b","c","d"],"warnings":["results truncated due to limit"]}`, limit: 2, want: []string{"a", "b"}, listing: Listing{Count: 2, Truncated: true, Notes: Notes{Warnings: []string{"results truncated due to limit"}}}},
		"warnings and infos":        {document: `{"warnings":["w"],"status":"success","infos":["i"],"data":["a"]}`, want: []string{"a"}, listing: Listing{Count: 1, Notes: Notes{Warnings: []string{"w"}, Infos: []string{"i"}}}},
		"more warnings than needed": {document: `{"status":"success","data":[],"warnings":["w"` + strings.Repeat(`,"w"`, 99) + `]}`, listing: Listing{Notes: Notes{Warnings: slices.Repeat([]string{"w"}, maxNotes)}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newTestClient(t, answer(tc.document))
			var got []string
			listing, err := c.LabelNames(t.Context(), Scope{Limit: tc.limit}, func(name string) { got = append(got, name) })
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.listing, listing); diff != "" {
				t.Errorf("listing (-want +got):\n%s", diff)
			}
		})
	}
}

func TestListRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		document string
		class    Class
		listed   int
	}{
		"an object":                        {`{"status":"success","data":{}}`, ClassNotJSON, 0},
		"an entry that is no string":       {`{"status":"success","data":["a",null]}`, ClassNotJSON, 1},
		"HTML":                             {`<html>`, ClassNotJSON, 0},
		"status error with status 200":     {`{"status":"error","errorType":"bad_data","error":"x"}`, ClassBadQuery, 0},
		"a list that breaks off":           {`{"status":"success","data":["a","b"`, ClassTruncated, 2},
		"a list that breaks off in a name": {`{"status":"success","data":["a","b`, ClassTruncated, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newTestClient(t, answer(tc.document))
			listed := 0
			listing, err := c.LabelValues(t.Context(), "__name__", Scope{}, func(string) { listed++ })
			if failed := failureOf(t, err); failed.Class != tc.class || listed != tc.listed || listing.Count != listed {
				t.Errorf("error = %s: %v, listed %d, want %s, %d", failed.Class, err, listed, tc.class, tc.listed)
			}
		})
	}
}
