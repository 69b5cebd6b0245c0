package prometheus

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"strconv"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
)

// FuzzDecodeVector holds the decoder against encoding/json: what it takes, encoding/json takes and means the same;
// and how the bytes arrive makes no difference.
func FuzzDecodeVector(f *testing.F) {
	for _, seed := range []string{
		vector(`{"metric":{"__name__":"cpu","pod":"web-0"},"value":[1435781451.781,"1.5"]},{"metric":{},"value":[1,"NaN"]}`),
		vector(`{"metric":{"b":"\u00e9\\","a":"é"},"value":[1e3,"-0"]},{"metric":{"a":"1"},"histogram":[1,{"count":"5","buckets":[[3,"1","2","3"]]}]}`),
		`{"status":"success","data":{"result":[1435781451.7,"+Inf"],"resultType":"scalar"},"warnings":["w"],"infos":null,"isPartial":false}`,
		`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"2"]]}]}}`,
		`{"status":"error","errorType":"bad_data","error":"parse error"}`,
		` { "stats" : [ -0.5E+1 , true , {} , [ ] ] , "status" : "success" , "data" : null } `,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		got, err := newDecoder(new(budget)).decodeQuery(bytes.NewReader(document))
		for _, source := range []io.Reader{
			iotest.OneByteReader(bytes.NewReader(document)),
			iotest.HalfReader(bytes.NewReader(document)),
		} {
			again, againErr := newDecoder(new(budget)).decodeQuery(source)
			if (err == nil) != (againErr == nil) {
				t.Fatalf("error = %v, in pieces %v", err, againErr)
			}
			if diff := cmp.Diff(got, again, sameSamples); diff != "" {
				t.Fatalf("whole and in pieces (-whole +pieces):\n%s", diff)
			}
		}
		if err != nil {
			return
		}
		want, ok := decodeReference(document)
		if !ok {
			t.Fatalf("decoded %v from what encoding/json does not take", got)
		}
		if diff := cmp.Diff(want, got.Samples, sameSamples); diff != "" {
			t.Fatalf("encoding/json and the decoder (-json +decoder):\n%s", diff)
		}
	})
}

// decodeReference decodes the samples of an answer with encoding/json.
func decodeReference(document []byte) ([]Sample, bool) {
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber()
	var root map[string]any
	if err := decoder.Decode(&root); err != nil || !json.Valid(document) {
		return nil, false
	}
	data, _ := root["data"].(map[string]any)
	elements, _ := data["result"].([]any)
	if data["resultType"] == typeScalar {
		sample, ok := referencePoint(elements)
		return []Sample{sample}, ok
	}
	var samples []Sample
	for _, element := range elements {
		series, _ := element.(map[string]any)
		if _, ok := series["histogram"]; ok {
			continue
		}
		point, _ := series["value"].([]any)
		sample, ok := referencePoint(point)
		if !ok {
			return nil, false
		}
		set := map[string]string{}
		metric, _ := series["metric"].(map[string]any)
		for name, value := range metric {
			if text, ok := value.(string); ok && text != "" {
				set[name] = text
			}
		}
		sample.Labels = labels.FromMap(set)
		samples = append(samples, sample)
	}
	return samples, true
}

func referencePoint(point []any) (Sample, bool) {
	if len(point) != 2 {
		return Sample{}, false
	}
	number, _ := point[0].(json.Number)
	seconds, err := number.Float64()
	if err != nil {
		return Sample{}, false
	}
	text, _ := point[1].(string)
	value, err := strconv.ParseFloat(text, 64)
	return Sample{Time: int64(math.Round(seconds * 1000)), Value: value}, err == nil
}
