package naming

import "testing"

func TestSameShape(t *testing.T) {
	t.Parallel()
	p := placeholder
	tests := map[string]struct {
		query, meant string
		same         bool
	}{
		"the same text":                          {`x{a="b"}`, `x{a="b"}`, true},
		"a value in a string":                    {`x{a="b|c"}`, `x{a="` + p + `"}`, true},
		"a value in a string of another kind":    {"x{a='b',c=`d`}", "x{a='" + p + "',c=`" + p + "`}", true},
		"a value beside others in a string":      {`x{a="y-b"}`, `x{a="y-` + p + `"}`, true},
		"a string without a value":               {`x{a="c"}`, `x{a="b"}`, false},
		"a value outside of strings":             {`x{a="b"} > 1`, `x{a="` + p + `"} > ` + p, false},
		"a value that ends its string":           {`x{a="b"} or y{c=""}`, `x{a="` + p + `"}`, false},
		"one that does so in the same number":    {`x{a="b"} or y{c="d"}`, `x{a="` + p + `",c="` + p + `"}`, false},
		"an escaped quote does not end a string": {`x{a="b\""}`, `x{a="` + p + `"}`, true},
		"in a raw string nothing is escaped":     {"x{a=`b\\`}", "x{a=`" + p + "`}", true},
		"an escaped end opens what follows":      {`x{a="b\"}`, `x{a="` + p + `"}`, false},
		"another kind of quotes":                 {`x{a='b'}`, `x{a="` + p + `"}`, false},
		"quotes in comments are text":            {"x{a=\"b\"} # it's\n + y", "x{a=\"" + p + "\"} # it's\n + y", true},
		"a value in a comment":                   {"x # b\n", "x # " + p + "\n", false},
		"a value that ends a comment":            {"x # \n or y", "x # " + p, false},
		"one more string":                        {`x{a="b"""}`, `x{a="` + p + `"}`, false},
		"a string without an end":                {`x{a="b`, `x{a="` + p, true},
		"a backslash at the end":                 {`x{a="b\`, `x{a="` + p, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := sameShape(test.query, test.meant); (err == nil) != test.same {
				t.Errorf("sameShape(%s, %s) = %v, want the same: %t", test.query, test.meant, err, test.same)
			}
		})
	}
}

func TestSplitLiteralsLosesNothing(t *testing.T) {
	t.Parallel()
	for _, query := range []string{"", `a"b"c'd'e` + "`f`", `"a\"b`, `#"`, "# a\n\"b\"", `"`, `''""`} {
		outside, literals := splitLiterals(query)
		total := len(outside)
		for _, literal := range literals {
			total += len(literal)
		}
		if total != len(query) {
			t.Errorf("%q and %q are %d bytes, want the %d of %q", outside, literals, total, len(query), query)
		}
	}
}
