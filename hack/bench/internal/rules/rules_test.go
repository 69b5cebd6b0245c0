package rules

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/metrics-gateway/metrics-gateway/pkg/config"
)

func TestFilesHoldTheRulesThatTheyAreNamedAfter(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text             string
		custom, external int
	}{
		"Helm":   {Helm(), 6, 0},
		"Thirty": {Thirty(), 26, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, err := config.Load("rules.yaml", []byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]int{test.custom, test.external}, []int{len(cfg.Rules), len(cfg.ExternalRules)}); diff != "" {
				t.Errorf("rules and external rules (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSelectorsAreThoseOfHelm(t *testing.T) {
	t.Parallel()
	cfg, err := config.Load("helm.yaml", []byte(Helm()))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, rule := range cfg.Rules {
		if !slices.Contains(got, rule.SeriesQuery) {
			got = append(got, rule.SeriesQuery)
		}
	}
	if diff := cmp.Diff(got, Selectors()); diff != "" {
		t.Errorf("selectors (-file +told):\n%s", diff)
	}
}
