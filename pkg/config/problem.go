package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxProblems bounds what is reported about one file: nobody reads more, and a binary file given by mistake
// has no end of them.
const maxProblems = 100

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	// File is the name that was given to Load, empty when the configuration does not come from a file.
	File string
	// Line counts from 1; 0 when unknown.
	Line int
	// Field is the path of the field: rules[2].name.matches. Empty means the file as a whole.
	Field string
	// Err says what is wrong.
	Err error
}

// Error returns FILE:LINE: FIELD: what is wrong, without the parts that are unknown.
func (p *Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
		}
		b.WriteString(": ")
	}
	if p.Field != "" {
		b.WriteString(p.Field + ": ")
	}
	b.WriteString(p.Err.Error())
	return b.String()
}

// Unwrap returns Err.
func (p *Problem) Unwrap() error { return p.Err }

// At returns err as a problem with field. Its line is that of the field or, if the file does not have it, of the
// closest field around it.
func (c *Config) At(field string, err error) *Problem {
	line := 0
	for at := field; at != ""; at = at[:max(0, strings.LastIndexAny(at, ".["))] {
		if l, ok := c.lines[at]; ok {
			line = l
			break
		}
	}
	return &Problem{File: c.file, Line: line, Field: field, Err: err}
}

// join returns problems in the order of their lines as one error, nil if there are none.
func join(problems []*Problem) error {
	slices.SortStableFunc(problems, func(a, b *Problem) int { return cmp.Compare(a.Line, b.Line) })
	all := make([]error, 0, min(len(problems), maxProblems)+1)
	for _, p := range problems[:min(len(problems), maxProblems)] {
		all = append(all, p)
	}
	if more := len(problems) - maxProblems; more > 0 {
		all = append(all, fmt.Errorf("and %d more", more))
	}
	return errors.Join(all...)
}
