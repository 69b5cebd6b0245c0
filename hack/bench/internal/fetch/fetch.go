// Package fetch reads answers over HTTP.
package fetch

import (
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxErrorBytes is how much of the body of an error is repeated.
const maxErrorBytes = 500

// Body makes a request and returns the body of the answer, as it was sent. An answer with another status than 200 is an
// error that repeats the beginning of its body.
func Body(client *http.Client, request *http.Request) ([]byte, error) {
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: status %d: %s", request.URL.Path, response.StatusCode,
			strings.TrimSpace(string(body[:min(len(body), maxErrorBytes)])))
	}
	return body, nil
}
