package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxSize is the largest file that is read, in bytes: what a ConfigMap can hold.
const MaxSize = 1 << 20

// LoadFile reads the file at path, as Load does.
func LoadFile(path string) (*Config, error) {
	data, err := Read(path)
	if err != nil {
		return nil, err
	}
	return Load(path, data)
}

// Read returns the content of a file for Load: all of it, or as much as shows Load that it is too large.
func Read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("configuration file %q: %w", path, err)
	}
	return data, nil
}

// Load reads a configuration file's content; name stands for the file in what is reported.
//
// An empty file is valid. Otherwise the error holds all that is wrong: each error that it joins is a *Problem.
// A field that is unknown or given twice is an error.
func Load(name string, data []byte) (*Config, error) {
	cfg := &Config{file: name, lines: make(map[string]int)}
	if len(data) > MaxSize {
		return nil, cfg.At("", fmt.Errorf("is larger than %d bytes", MaxSize))
	}
	document, err := parse(data)
	if err != nil {
		return nil, syntaxProblem(name, err)
	}
	if document == nil {
		return cfg, nil
	}
	d := decoder{file: name, lines: cfg.lines, budget: maxNodes}
	d.decode(document, "", reflect.ValueOf(cfg).Elem())
	if problems := slices.Concat(d.problems, cfg.validate()); len(problems) > 0 {
		return nil, join(problems)
	}
	return cfg, nil
}

// errSecondDocument is an error because whoever wrote a second document meant it to be read.
var errSecondDocument = errors.New("the file holds more than one document")

// parse returns the content of the only document, nil if there is nothing but comments.
func parse(data []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	switch err := decoder.Decode(&first); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, err
	}
	switch err := decoder.Decode(&second); {
	case err == nil && !isNull(second.Content[0]):
		return nil, errSecondDocument
	case err != nil && !errors.Is(err, io.EOF):
		return nil, err
	}
	return first.Content[0], nil
}

// syntaxProblem finds the line in the YAML library's message, the only place where it says it.
func syntaxProblem(name string, err error) *Problem {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if _, err := fmt.Sscanf(message, "line %d:", &line); err == nil {
		_, message, _ = strings.Cut(message, ": ")
	}
	if strings.HasPrefix(message, "did not find expected ") {
		line++ // The library counts from 0 here, and names the line where what it was reading begins.
	}
	return &Problem{File: name, Line: line, Err: fmt.Errorf("cannot be read as YAML: %s", message)}
}

// validate checks what the form of the file does not tell.
func (c *Config) validate() []*Problem {
	return append(c.validateRules("rules", c.Rules), c.validateRules("externalRules", c.ExternalRules)...)
}

func (c *Config) validateRules(section string, rules []Rule) (problems []*Problem) {
	for i, rule := range rules {
		for j, filter := range rule.SeriesFilters {
			if (filter.Is == "") == (filter.IsNot == "") {
				field := fmt.Sprintf("%s[%d].seriesFilters[%d]", section, i, j)
				problems = append(problems, c.At(field, errors.New("must have exactly one of is and isNot")))
			}
		}
	}
	return problems
}
