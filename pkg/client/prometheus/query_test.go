package prometheus

import (
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
)

func TestDecodeQuery(t *testing.T) {
	t.Parallel()
	cpu := func(value float64) []Sample {
		return []Sample{{Labels: labels.FromStrings("__name__", "cpu", "pod", "web-0"), Time: 1435781451781, Value: value}}
	}
	for name, tc := range map[string]struct {
		document string
		want     Result
	}{
		"a vector": {
			document: `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"cpu","pod":"web-0"},"value":[1435781451.781,"1.5"]}]}}`,
			want:     Result{Samples: cpu(1.5)},
		},
		"a vector with members in another order, white space and unknown members": {
			document: " {\n\t\"stats\": {\"a\": [1, -2.5e3, true, false, null, \"x\", {}, []]},\r\n \"data\" : { \"result\" : [ { \"value\" : [ 1435781451.781 , \"1.5\" ] , \"exemplar\": 0, \"metric\" : { \"pod\" : \"web-0\" , \"__name__\" : \"cpu\" } } ] , \"resultType\" : \"vector\" } , \"status\" : \"success\" } \n",
			want:     Result{Samples: cpu(1.5)},
		},
		"an empty vector":                    {document: `{"status":"success","data":{"resultType":"vector","result":[]}}`},
		"a vector that is null":              {document: `{"status":"success","data":{"resultType":"vector","result":null}}`},
		"a series without labels":            {document: `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"2"]}]}}`, want: Result{Samples: []Sample{{Time: 1000, Value: 2}}}},
		"a scalar":                           {document: `{"status":"success","data":{"resultType":"scalar","result":[1435781451.781,"3"]}}`, want: Result{Samples: []Sample{{Time: 1435781451781, Value: 3}}}},
		"a label with an empty value":        {document: vector(`{"metric":{"a":"","b":"c"},"value":[1,"2"]}`), want: Result{Samples: []Sample{{Labels: labels.FromStrings("b", "c"), Time: 1000, Value: 2}}}},
		"escapes and characters in labels":   {document: vector(`{"metric":{"a\"\\\/\n":"\u00e9\ud83d\ude00é😀","ü.x":"y"},"value":[1,"2"]}`), want: Result{Samples: []Sample{{Labels: labels.FromStrings("a\"\\/\n", "é😀é😀", "ü.x", "y"), Time: 1000, Value: 2}}}},
		"bytes that are no characters":       {document: vector("{\"metric\":{\"a\":\"x\xffy\"},\"value\":[1,\"2\"]}"), want: Result{Samples: []Sample{{Labels: labels.FromStrings("a", "x\ufffdy"), Time: 1000, Value: 2}}}},
		"duplicate samples for one pod":      {document: vector(`{"metric":{"pod":"p"},"value":[1,"2"]},{"metric":{"pod":"p"},"value":[1,"3"]}`), want: Result{Samples: []Sample{{Labels: labels.FromStrings("pod", "p"), Time: 1000, Value: 2}, {Labels: labels.FromStrings("pod", "p"), Time: 1000, Value: 3}}}},
		"a native histogram between samples": {document: vector(`{"metric":{"a":"1"},"value":[1,"2"]},{"metric":{"a":"2"},"histogram":[1,{"count":"5","sum":"3","buckets":[[3,"-0.001","0.001","3"]]}]},{"metric":{"a":"3"},"value":[1,"4"]}`), want: Result{DroppedHistograms: 1, Samples: []Sample{{Labels: labels.FromStrings("a", "1"), Time: 1000, Value: 2}, {Labels: labels.FromStrings("a", "3"), Time: 1000, Value: 4}}}},
		"warnings and infos": {
			document: `{"status":"success","data":{"resultType":"vector","result":[]},"warnings":["store 1\nis down","store 2 is down"],"infos":["PromQL info: not a counter"]}`,
			want:     Result{Notes: Notes{Warnings: []string{"store 1 is down", "store 2 is down"}, Infos: []string{"PromQL info: not a counter"}}},
		},
		"warnings that are null": {document: `{"status":"success","warnings":null,"infos":null,"data":{"resultType":"vector","result":[]}}`},
		"a partial answer of VictoriaMetrics": {
			document: `{"status":"success","isPartial":true,"data":{"resultType":"vector","result":[]}}`,
			want:     Result{Notes: Notes{Warnings: []string{"partial response"}}},
		},
		"a whole answer of VictoriaMetrics": {document: `{"status":"success","isPartial":false,"data":{"resultType":"vector","result":[]},"stats":{"seriesFetched": "0","executionTimeMsec":1}}`},
		"a result that is said twice":       {document: `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"7"]}],"result":[{"metric":{"__name__":"cpu","pod":"web-0"},"value":[1435781451.781,"1.5"]}]}}`, want: Result{Samples: cpu(1.5)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for how, source := range map[string]io.Reader{
				"whole":       strings.NewReader(tc.document),
				"byte a time": iotest.OneByteReader(strings.NewReader(tc.document)),
				"with EOF":    iotest.DataErrReader(strings.NewReader(tc.document)),
			} {
				got, err := newDecoder(new(budget)).decodeQuery(source)
				if err != nil {
					t.Fatalf("%s: %v", how, err)
				}
				if diff := cmp.Diff(tc.want, got, sameSamples); diff != "" {
					t.Errorf("%s (-want +got):\n%s", how, diff)
				}
			}
		})
	}
}

// vector returns the answer with these elements.
func vector(elements string) string {
	return `{"status":"success","data":{"resultType":"vector","result":[` + elements + `]}}`
}

func TestDecodeQueryRefuses(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1)
	for name, tc := range map[string]struct {
		document string
		class    Class
		reason   string
	}{
		"a matrix":                           {`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"2"]]}]}}`, ClassUnexpectedResult, "type matrix"},
		"a matrix before its type":           {`{"status":"success","data":{"result":[{"metric":{},"values":[[1,"2"]]}],"resultType":"matrix"}}`, ClassUnexpectedResult, "type matrix"},
		"an empty matrix":                    {`{"status":"success","data":{"result":[],"resultType":"matrix"}}`, ClassUnexpectedResult, "type matrix"},
		"a string":                           {`{"status":"success","data":{"resultType":"string","result":[1,"2"]}}`, ClassUnexpectedResult, "type string"},
		"a string before its type":           {`{"status":"success","data":{"result":[1,"2"],"resultType":"string"}}`, ClassUnexpectedResult, "type string"},
		"data that is null":                  {`{"status":"success","data":null}`, ClassUnexpectedResult, "type none"},
		"no data":                            {`{"status":"success"}`, ClassUnexpectedResult, "type none"},
		"a vector that is a scalar":          {`{"status":"success","data":{"resultType":"vector","result":[1,"2"]}}`, ClassNotJSON, "not the vector it says it is"},
		"a scalar that is a vector":          {`{"status":"success","data":{"resultType":"scalar","result":[{"metric":{},"value":[1,"2"]}]}}`, ClassNotJSON, "not the scalar it says it is"},
		"status error, bad data":             {`{"status":"error","errorType":"bad_data","error":"parse error"}`, ClassBadQuery, "refused the query: parse error"},
		"status error, timeout":              {`{"status":"error","errorType":"timeout","error":"query timed out"}`, ClassTimeout, "query timed out"},
		"status error, without type":         {`{"status":"error"}`, ClassUnavailable, "failed"},
		"HTML":                               {"<!DOCTYPE html><html><body>Sign in</body></html>", ClassNotJSON, "login page"},
		"text":                               {"Prometheus is Ready.", ClassNotJSON, "login page"},
		"nothing":                            {"", ClassNotJSON, "answered with nothing"},
		"white space":                        {" \n", ClassNotJSON, "answered with nothing"},
		"NUL":                                {"\x00", ClassNotJSON, ""},
		"JSON of something else":             {`{"kind":"Status","apiVersion":"v1"}`, ClassNotJSON, "not of the Prometheus API"},
		"a list":                             {`[]`, ClassNotJSON, ""},
		"data after the end":                 {vector("") + "{}", ClassNotJSON, ""},
		"JSON truncated in a string":         {vector("")[:12], ClassTruncated, "ended its answer early"},
		"JSON truncated in an object":        {strings.TrimSuffix(vector(""), "}"), ClassTruncated, "ended its answer early"},
		"JSON truncated in a number":         {`{"status":"success","data":{"resultType":"scalar","result":[14`, ClassTruncated, "ended its answer early"},
		"JSON truncated after a comma":       {`{"status":"success",`, ClassTruncated, "ended its answer early"},
		"a comma too many":                   {vector(`{"metric":{},"value":[1,"2"]},`), ClassNotJSON, ""},
		"a value that is a number":           {vector(`{"metric":{},"value":[1,2]}`), ClassNotJSON, ""},
		"a value that is no number":          {vector(`{"metric":{},"value":[1,"two"]}`), ClassNotJSON, ""},
		"a time that is a string":            {vector(`{"metric":{},"value":["1","2"]}`), ClassNotJSON, ""},
		"a time that is no JSON":             {vector(`{"metric":{},"value":[01,"2"]}`), ClassNotJSON, ""},
		"a time beyond int64":                {vector(`{"metric":{},"value":[1e300,"2"]}`), ClassNotJSON, ""},
		"a series without value":             {vector(`{"metric":{}}`), ClassNotJSON, ""},
		"a label twice":                      {vector(`{"metric":{"a":"1","b":"2","a":"3"},"value":[1,"2"]}`), ClassNotJSON, ""},
		"a label that is no string":          {vector(`{"metric":{"a":1},"value":[1,"2"]}`), ClassNotJSON, ""},
		"a control character":                {vector("{\"metric\":{\"a\":\"\n\"},\"value\":[1,\"2\"]}"), ClassNotJSON, ""},
		"an escape that is none":             {vector(`{"metric":{"a":"\x"},"value":[1,"2"]}`), ClassNotJSON, ""},
		"a literal that is none":             {`{"stats":nul,"status":"success"}`, ClassNotJSON, ""},
		"nesting without end":                {`{"stats":` + deep + `}`, ClassNotJSON, ""},
		"a string without end":               {`{"status":"` + strings.Repeat("a", maxTokenBytes) + `"}`, ClassTooLarge, "string or labels of more than 1 MiB"},
		"a series with more labels than any": {vector(`{"metric":{` + strings.Repeat(`"":"",`, maxTokenBytes/2+1) + `"a":"b"},"value":[1,"2"]}`), ClassTooLarge, "string or labels of more than 1 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := newTestClient(t, answer(tc.document)).Query(t.Context(), "up", evaluation)
			failed := failureOf(t, err)
			if failed.Class != tc.class || !strings.Contains(err.Error(), tc.reason) {
				t.Errorf("error = %s: %v\nwant %s: %s", failed.Class, err, tc.class, tc.reason)
			}
		})
	}
}

// Whether a value can be served is judged by those who serve it. The client hands on what the backend sent, on
// every architecture.
func TestDecodeQueryValues(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]float64{
		"NaN":                     math.NaN(), // Also what a stale marker is written as.
		"+Inf":                    math.Inf(1),
		"-Inf":                    math.Inf(-1),
		"-0":                      math.Copysign(0, -1),
		"1e+308":                  1e308,
		"5e-324":                  5e-324,
		"2.2250738585072011e-308": 2.2250738585072011e-308,
		"9223372036854775.807":    9223372036854775.807,
		"9223372036854775807":     math.MaxInt64,
		"-1e+300":                 -1e300,
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			got, err := newDecoder(new(budget)).decodeQuery(strings.NewReader(vector(`{"metric":{},"value":[1,"` + text + `"]}`)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]Sample{{Time: 1000, Value: want}}, got.Samples, sameSamples); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseTime(t *testing.T) {
	t.Parallel()
	for number, want := range map[string]int64{
		"0":                  0,
		"0.001":              1,
		"1":                  1000,
		"1435781451":         1435781451000,
		"1435781451.7":       1435781451700,
		"1435781451.78":      1435781451780,
		"1435781451.781":     1435781451781,
		"1435781451.7814999": 1435781451781,
		"1435781451.7815":    1435781451782,
		"1.435781451781e9":   1435781451781,
		"-1.5":               -1500,
		"12345678901.123":    12345678901123,
		"999999999999.999":   999999999999999,
		"9999999999999.5":    9999999999999500,
	} {
		t.Run(number, func(t *testing.T) {
			t.Parallel()
			if got, ok := parseTime([]byte(number)); !ok || got != want {
				t.Errorf("parseTime = %d, %t, want %d", got, ok, want)
			}
		})
	}
	for _, number := range []string{"", "-", ".5", "5.", "01", "1_0", "0x10", "NaN", "Inf", "1e400", "1e17", "1.2.3"} {
		t.Run("not "+number, func(t *testing.T) {
			t.Parallel()
			if got, ok := parseTime([]byte(number)); ok {
				t.Errorf("parseTime = %d, want none", got)
			}
		})
	}
}
