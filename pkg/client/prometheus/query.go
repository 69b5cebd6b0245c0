package prometheus

import (
	"context"
	"encoding/json"
	"io"
	"math"
	"net/url"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// maxSamples bounds a result. A query for the usage of all containers of the largest cluster that Kubernetes
// supports returns 300,000.
const maxSamples = 500_000

const apiQuery = "query"

// Sample is one element of a vector, or a scalar.
type Sample struct {
	// Labels are the labels of the series, __name__ included. A scalar has none.
	Labels labels.Labels
	// Time is the time of the evaluation in milliseconds since the Unix epoch.
	Time int64
	// Value is what the backend sent: also NaN, an infinity or a value that no metric can have.
	Value float64
}

// Result is the result of an instant query.
type Result struct {
	// Samples are the elements of the vector in the order of the backend, or the one scalar.
	Samples []Sample
	// DroppedHistograms is how many elements are left out because they are native histograms.
	DroppedHistograms int
	Notes
}

// Query evaluates an expression at a time, to the millisecond. The result is a vector or a scalar; an expression
// that yields anything else is an error. The error is an *Error.
func (c *Client) Query(ctx context.Context, expr string, at time.Time) (Result, error) {
	params := url.Values{
		"query": {expr},
		"time":  {formatSeconds(at.UnixMilli())},
	}
	var result Result
	err := c.call(ctx, endpoint{name: apiQuery, path: "/api/v1/query"}, params, func(d *decoder, body io.Reader) (err error) {
		result, err = d.decodeQuery(body)
		return err
	})
	if err != nil {
		return Result{}, err
	}
	c.metrics.histograms.Add(float64(result.DroppedHistograms))
	return result, nil
}

// decodeQuery decodes the answer to an instant query.
func (d *decoder) decodeQuery(source io.Reader) (Result, error) {
	defer func() {
		d.budget.put(d.taken)
		d.taken = 0
	}()
	var result Result
	var data queryData
	err := d.document(source, func() { d.queryData(&data, &result) })
	if err != nil {
		return Result{}, err
	}
	switch {
	case data.resultType == "":
		return Result{}, unexpectedResult("none")
	case data.resultType == data.shape, data.resultType == typeVector && data.shape == "":
	default:
		return Result{}, failure(ClassNotJSON, nil, "answered with a result that is not the %s it says it is", data.resultType)
	}
	result.Notes = d.notes
	return result, nil
}

// The result types that are accepted.
const (
	typeVector = "vector"
	typeScalar = "scalar"
)

// queryData is what the data of an answer says of its type, and what the result looks like. Either may come first.
type queryData struct {
	// resultType is what the answer says.
	resultType string
	// shape is typeVector or typeScalar, or empty when the result has no elements.
	shape string
}

func unexpectedResult(resultType string) *Error {
	return failure(ClassUnexpectedResult, nil, "evaluated the query to a result of type %s, it must be a vector or a scalar", sanitize(resultType))
}

func (d *decoder) queryData(data *queryData, result *Result) {
	*data, *result = queryData{}, Result{}
	if d.null() {
		return
	}
	for name := range d.members() {
		switch string(name) {
		case "resultType":
			data.resultType = d.word()
			if d.err == nil && data.resultType != typeVector && data.resultType != typeScalar {
				d.fail(unexpectedResult(data.resultType))
			}
		case "result":
			data.shape = d.result(result)
		default:
			d.skip()
		}
	}
}

// result reads a result and returns its shape: a scalar is an array of a time and a value, a vector one of objects.
func (d *decoder) result(result *Result) (shape string) {
	*result = Result{}
	if d.null() {
		return ""
	}
	d.take('[')
	if d.accept(']') {
		return ""
	}
	if d.peek() != '{' {
		t, v := d.pointRest()
		result.Samples = append(result.Samples, Sample{Time: t, Value: v})
		return typeScalar
	}
	for d.err == nil {
		d.series(result)
		if d.accept(']') {
			break
		}
		d.take(',')
	}
	return typeVector
}

// series reads one element of a vector.
func (d *decoder) series(result *Result) {
	var sample Sample
	var hasValue, hasHistogram bool
	for name := range d.members() {
		switch string(name) {
		case "metric":
			sample.Labels = d.labels()
		case "value":
			d.take('[')
			sample.Time, sample.Value = d.pointRest()
			hasValue = true
		case "histogram":
			d.skip()
			hasHistogram = true
		case "values", "histograms":
			d.fail(unexpectedResult("matrix"))
		default:
			d.skip()
		}
	}
	switch {
	case d.err != nil:
	case hasHistogram:
		result.DroppedHistograms++
	case !hasValue:
		d.fail(errSyntax)
	case len(result.Samples) == maxSamples:
		d.fail(failure(ClassTooLarge, nil, "answered with more than %d samples: the query must aggregate or select fewer series", maxSamples))
	default:
		size := int64(sample.Labels.ByteSize()) + sampleBytes
		d.taken += size
		if !d.budget.take(size) {
			d.fail(failure(ClassOverloaded, nil, "answers with more than %d MiB at once: queries must aggregate or select fewer series", maxDecoding>>20))
			return
		}
		result.Samples = append(result.Samples, sample)
	}
}

// labels reads a set of labels.
func (d *decoder) labels() labels.Labels {
	d.text, d.ends = d.text[:0], d.ends[:0]
	for name := range d.members() {
		d.text = append(d.text, name...)
		d.ends = append(d.ends, len(d.text))
		d.text = append(d.text, d.str()...)
		d.ends = append(d.ends, len(d.text))
		if len(d.text)+len(d.ends) > maxTokenBytes {
			d.fail(errTooLong)
		}
	}
	// One string for all of them: the set that is built is another one, and this is garbage at once.
	text := string(d.text)
	d.builder.Reset()
	start, last, sorted := 0, "", true
	for i := 0; i < len(d.ends); i += 2 {
		name, value := text[start:d.ends[i]], text[d.ends[i]:d.ends[i+1]]
		start = d.ends[i+1]
		d.builder.Add(name, value)
		sorted, last = sorted && name > last, name
	}
	if sorted {
		return d.builder.Labels().WithoutEmpty()
	}
	d.builder.Sort()
	set := d.builder.Labels()
	if _, ok := set.HasDuplicateLabelNames(); ok {
		d.fail(errSyntax)
	}
	return set.WithoutEmpty()
}

// pointRest reads a time and a value up to the end of the array, whose beginning has been read.
func (d *decoder) pointRest() (milliseconds int64, value float64) {
	milliseconds, ok := parseTime(d.literal())
	if !ok {
		d.fail(errSyntax)
	}
	d.take(',')
	value, err := strconv.ParseFloat(string(d.str()), 64)
	if err != nil {
		d.fail(errSyntax)
	}
	d.take(']')
	return milliseconds, value
}

// parseTime returns the milliseconds of a JSON number of seconds.
func parseTime(number []byte) (milliseconds int64, ok bool) {
	// Prometheus sends 1435781451 or 1435781451.781.
	const places, maxDigits = 3, 15
	n, decimals, point := int64(0), 0, false
	for i, c := range number {
		switch {
		case c >= '0' && c <= '9' && i < maxDigits && decimals < places:
			n = n*10 + int64(c-'0')
			if point {
				decimals++
			}
		case c == '.' && i > 0 && !point:
			point = true
		default:
			return parseTimeSlow(number)
		}
	}
	if len(number) == 0 || number[0] == '0' || point && decimals == 0 {
		return parseTimeSlow(number)
	}
	for ; decimals < places; decimals++ {
		n *= 10
	}
	return n, true
}

func parseTimeSlow(number []byte) (milliseconds int64, ok bool) {
	seconds, err := strconv.ParseFloat(string(number), 64)
	if err != nil || !json.Valid(number) || math.Abs(seconds) > math.MaxInt64/1e4 {
		return 0, false
	}
	return int64(math.Round(seconds * 1000)), true
}
