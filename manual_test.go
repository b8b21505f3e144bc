package postrider_test

import (
	"os"
	"regexp"
	"testing"
)

// TestManualHasEveryKey keeps the manual page of the configuration together
// with the sample, which a test of configs keeps together with the schema.
func TestManualHasEveryKey(t *testing.T) {
	sample, err := os.ReadFile("configs/sample.yaml")
	if err != nil {
		t.Fatal(err)
	}
	manual, err := os.ReadFile("docs/postrider.yaml.5")
	if err != nil {
		t.Fatal(err)
	}
	keys := regexp.MustCompile(`(?m)^[ #]*([a-z_]+):`).FindAllStringSubmatch(string(sample), -1)
	if len(keys) < 30 {
		t.Fatalf("only %d keys in the sample", len(keys))
	}
	for _, k := range keys {
		if k[1] == "work" || k[1] == "home" {
			continue // names of accounts
		}
		if !regexp.MustCompile(`(?m)^\.(It|Op|Pp|Ic).*\bIc `+k[1]+`\b`).Match(manual) && !regexp.MustCompile(`(?m)^\.Ic `+k[1]+`\b`).Match(manual) {
			t.Errorf("the manual page does not say what %s is", k[1])
		}
	}
}
