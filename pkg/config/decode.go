package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxNodes bounds the values that are decoded, so that aliases of aliases cannot multiply a small file without end.
// A file of MaxSize that is all rules and no aliases has about half as many.
const maxNodes = MaxSize / 8

// decoder fills structs from YAML nodes. It is strict, goes on after a mistake, and notes where each field stands:
// three things that the YAML library's own decoder does not do together.
type decoder struct {
	file     string
	lines    map[string]int
	budget   int
	problems []*Problem
}

func (d *decoder) problem(line int, path string, err error) {
	d.problems = append(d.problems, &Problem{File: d.file, Line: line, Field: path, Err: err})
}

// visit returns n, or what it is an alias of, unless the budget is used up.
func (d *decoder) visit(n *yaml.Node, path string) (*yaml.Node, bool) {
	if d.budget--; d.budget == -1 {
		d.problem(n.Line, path, fmt.Errorf("the file expands to more than %d values", maxNodes))
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n, d.budget >= 0
}

// decode sets out, which must be settable, to what n says. Where n is null, out keeps its value.
func (d *decoder) decode(n *yaml.Node, path string, out reflect.Value) {
	n, ok := d.visit(n, path)
	if !ok || isNull(n) {
		return
	}
	if _, ok := reflect.TypeAssert[encoding.TextUnmarshaler](out.Addr()); ok {
		d.scalar(n, path, out)
		return
	}
	switch out.Kind() {
	case reflect.Struct:
		d.mapping(n, path, func(key, value *yaml.Node) { d.field(key, value, path, out) })
	case reflect.Map:
		out.Set(reflect.MakeMap(out.Type()))
		d.mapping(n, path, func(key, value *yaml.Node) {
			at := Child(path, key.Value)
			d.lines[at] = key.Line
			element := reflect.New(out.Type().Elem()).Elem()
			d.decode(value, at, element)
			out.SetMapIndex(reflect.ValueOf(key.Value), element)
		})
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			d.problem(n.Line, path, fmt.Errorf("must be a list, not %s", describe(n)))
			return
		}
		out.Set(reflect.MakeSlice(out.Type(), len(n.Content), len(n.Content)))
		for i, element := range n.Content {
			at := fmt.Sprintf("%s[%d]", path, i)
			d.lines[at] = element.Line
			d.decode(element, at, out.Index(i))
		}
	case reflect.Pointer:
		out.Set(reflect.New(out.Type().Elem()))
		d.decode(n, path, out.Elem())
	default:
		d.scalar(n, path, out)
	}
}

// field sets that field of the struct out which key names.
func (d *decoder) field(key, value *yaml.Node, path string, out reflect.Value) {
	var known []string
	for f := range out.Type().Fields() {
		name := f.Tag.Get("yaml")
		if name == "" {
			continue
		}
		if name == key.Value {
			at := Child(path, name)
			d.lines[at] = key.Line
			d.decode(value, at, out.FieldByIndex(f.Index))
			return
		}
		known = append(known, name)
	}
	d.problem(key.Line, Child(path, key.Value), fmt.Errorf("unknown field; known here: %s", strings.Join(known, ", ")))
}

// mapping calls set for each key of n, once: first for its own keys, then for those that it merges ("<<: *anchor").
func (d *decoder) mapping(n *yaml.Node, path string, set func(key, value *yaml.Node)) {
	given := make(map[string]bool)
	visited := make(map[*yaml.Node]bool) // A mapping may merge itself; the second time it adds nothing.
	for todo := []*yaml.Node{n}; len(todo) > 0; {
		n, ok := d.visit(todo[0], path)
		todo = todo[1:]
		if !ok || visited[n] {
			continue
		}
		visited[n] = true
		if n.Kind != yaml.MappingNode {
			d.problem(n.Line, path, fmt.Errorf("must be a mapping, not %s", describe(n)))
			continue
		}
		todo = append(d.keys(n, path, given, set), todo...)
	}
}

// keys calls set for each key of n that is not given yet, and returns what n merges.
func (d *decoder) keys(n *yaml.Node, path string, given map[string]bool, set func(key, value *yaml.Node)) (merged []*yaml.Node) {
	lines := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode:
			d.problem(key.Line, path, fmt.Errorf("a key must be a string, not %s", describe(key)))
		case key.Tag == "!!merge" && value.Kind == yaml.SequenceNode:
			merged = append(merged, value.Content...)
		case key.Tag == "!!merge":
			merged = append(merged, value)
		case lines[key.Value] != 0:
			d.problem(key.Line, Child(path, key.Value), fmt.Errorf("is already given in line %d", lines[key.Value]))
		default:
			lines[key.Value] = key.Line
			if !given[key.Value] {
				given[key.Value] = true
				set(key, value)
			}
		}
	}
	return merged
}

func (d *decoder) scalar(n *yaml.Node, path string, out reflect.Value) {
	if n.Kind != yaml.ScalarNode {
		d.problem(n.Line, path, fmt.Errorf("must be a %s, not %s", simpleType(out), describe(n)))
		return
	}
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](out.Addr()); ok {
		if err := u.UnmarshalText([]byte(n.Value)); err != nil {
			d.problem(n.Line, path, err)
		}
		return
	}
	if err := n.Decode(out.Addr().Interface()); err != nil {
		if _, ok := errors.AsType[*yaml.TypeError](err); ok {
			err = fmt.Errorf("must be a %s, not %q", simpleType(out), n.Value)
		}
		d.problem(n.Line, path, err)
	}
}

func simpleType(v reflect.Value) string {
	if v.Kind() == reflect.Bool {
		return "boolean"
	}
	return "string"
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	default:
		return fmt.Sprintf("%q", n.Value)
	}
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// Child appends a key to a path, quoted where it would not be read as one.
func Child(path, key string) string {
	if strings.ContainsAny(key, ".[]\" :\n") || key == "" {
		return fmt.Sprintf("%s[%s]", path, strconv.Quote(key))
	}
	if path == "" {
		return key
	}
	return path + "." + key
}
