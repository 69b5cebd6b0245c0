package naming

import (
	"text/template"
	"text/template/parse"
)

// reads is what a query template does with what differs between requests: their matchers and values.
type reads struct {
	// values are the labels whose values the template reads by name.
	values map[string]bool
	// more tells that it does more with matchers or values than to print the matchers as they are, or to ask whether there are
	// any, and to read values by names that it spells out.
	more bool
}

// printsNames tells whether what the template yields depends on the names of a label's objects in one way only: their
// matcher stands in it, as it is, in the same places for all names.
func (r reads) printsNames(label string) bool { return !r.more && !r.values[label] }

// The variables that hold what differs between requests. See arguments.
const (
	labelMatchers     = "LabelMatchers"
	labelValuesByName = "LabelValuesByName"
)

func readsOf(t *template.Template) reads {
	r := reads{values: make(map[string]bool)}
	r.more = len(t.Templates()) > 1 // It defines further ones.
	if t.Tree != nil && t.Root != nil {
		r.list(t.Root, true)
	}
	return r
}

// list looks at a part of a template. atRoot tells that the dot stands for the variables.
func (r *reads) list(list *parse.ListNode, atRoot bool) {
	if list == nil {
		return
	}
	for _, node := range list.Nodes {
		switch n := node.(type) {
		case *parse.TextNode, *parse.CommentNode, *parse.BreakNode, *parse.ContinueNode:
		case *parse.ActionNode:
			r.printed(n.Pipe, atRoot)
		case *parse.IfNode:
			r.printed(n.Pipe, atRoot)
			r.list(n.List, atRoot)
			r.list(n.ElseList, atRoot)
		case *parse.WithNode:
			r.pipe(n.Pipe, atRoot)
			r.list(n.List, false)
			r.list(n.ElseList, atRoot)
		case *parse.RangeNode:
			r.pipe(n.Pipe, atRoot)
			r.list(n.List, false)
			r.list(n.ElseList, atRoot)
		default:
			r.more = true
		}
	}
}

// printed looks at what is printed, or asked for being empty, which matchers with those of names never are.
func (r *reads) printed(pipe *parse.PipeNode, atRoot bool) {
	if len(pipe.Decl) == 0 && len(pipe.Cmds) == 1 && len(pipe.Cmds[0].Args) == 1 {
		if path := variable(pipe.Cmds[0].Args[0], atRoot); len(path) == 1 && path[0] == labelMatchers {
			return
		}
	}
	r.pipe(pipe, atRoot)
}

func (r *reads) pipe(pipe *parse.PipeNode, atRoot bool) {
	for _, command := range pipe.Cmds {
		if r.byName(command, atRoot) {
			continue
		}
		for _, arg := range command.Args {
			r.argument(arg, atRoot)
		}
	}
}

// byName takes in index .LabelValuesByName "label".
func (r *reads) byName(command *parse.CommandNode, atRoot bool) bool {
	if len(command.Args) != 3 {
		return false
	}
	function, isFunction := command.Args[0].(*parse.IdentifierNode)
	path := variable(command.Args[1], atRoot)
	label, isText := command.Args[2].(*parse.StringNode)
	if !isFunction || function.Ident != "index" || len(path) != 1 || path[0] != labelValuesByName || !isText {
		return false
	}
	r.values[label.Text] = true
	return true
}

func (r *reads) argument(node parse.Node, atRoot bool) {
	path := variable(node, atRoot)
	switch n := node.(type) {
	case *parse.PipeNode:
		r.pipe(n, atRoot)
	case *parse.ChainNode:
		r.more = true
	case *parse.DotNode, *parse.VariableNode, *parse.FieldNode:
		switch {
		case path == nil: // Something that is not of the variables, and so of none of these.
		case len(path) == 0, path[0] == labelMatchers:
			r.more = true
		case path[0] == labelValuesByName && len(path) == 2:
			r.values[path[1]] = true
		case path[0] == labelValuesByName:
			r.more = true
		}
	}
}

// variable returns which of the variables a node stands for: empty if for all of them, nil if for none.
func variable(node parse.Node, atRoot bool) []string {
	switch n := node.(type) {
	case *parse.DotNode:
		if atRoot {
			return []string{}
		}
	case *parse.FieldNode:
		if atRoot {
			return n.Ident
		}
	case *parse.VariableNode:
		if n.Ident[0] == "$" {
			return n.Ident[1:]
		}
	}
	return nil
}
