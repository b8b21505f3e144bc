package postrider_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
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

// TestManualHasEveryVerb looks for the verbs of the program and its exit codes
// in its manual page.
func TestManualHasEveryVerb(t *testing.T) {
	manual := text(t, "docs/postrider.1")
	has := func(pattern string) bool { return regexp.MustCompile("(?m)" + pattern).MatchString(manual) }
	files, err := filepath.Glob("cmd/postrider/*.go")
	if err != nil {
		t.Fatal(err)
	}
	verbs := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, use := range regexp.MustCompile(`(?m)(?:\bUse:\s+|p\.queueVerb\(|^\t\t\{)"([a-z]+)[ "]`).FindAllStringSubmatch(text(t, file), -1) {
			verbs[use[1]] = true
		}
	}
	delete(verbs, "postrider")
	for _, known := range []string{"fetch", "send", "sendmail", "queue", "flush", "show", "hold", "cancel", "check", "version"} {
		if !verbs[known] {
			t.Errorf("the verb %s was not found in the program", known)
		}
	}
	for verb := range verbs {
		if !has(`^\.It Cm (queue )?(Op Cm )?` + verb + `\b`) {
			t.Errorf("the manual page does not say what %s does", verb)
		}
	}
	codes := regexp.MustCompile(`(?m)^\texit[A-Z]\w+ += (\d+)`).FindAllStringSubmatch(text(t, "cmd/postrider/exit.go"), -1)
	if len(codes) < 10 {
		t.Fatalf("only %d exit codes", len(codes))
	}
	for _, code := range codes {
		if !has(`^\.It ` + code[1] + `$`) {
			t.Errorf("the manual page does not say what the exit code %s means", code[1])
		}
	}
}

// TestManualHasEveryOption does the same for the letters of the sendmail command.
func TestManualHasEveryOption(t *testing.T) {
	_, manual, _ := strings.Cut(text(t, "docs/postrider-sendmail.1"), "\n.Ss Options\n")
	manual, _, _ = strings.Cut(manual, "\n.Ss ")
	letters := regexp.MustCompile(`(?m)^\tsendmail(?:Valued|Flags) += "(\w+)"`).FindAllStringSubmatch(text(t, "cmd/postrider/sendmail_args.go"), -1)
	if len(letters) != 2 {
		t.Fatalf("%d lists of letters", len(letters))
	}
	for _, letter := range letters[0][1] + letters[1][1] {
		if !regexp.MustCompile(`(?m)^\.(It .*)?Fl ` + string(letter) + `\b`).MatchString(manual) {
			t.Errorf("the manual page does not say what -%c does", letter)
		}
	}
}

// TestArchitectureNamesWhatThereIs looks for the functions, types and files that
// docs/architecture.md names.
func TestArchitectureNamesWhatThereIs(t *testing.T) {
	var source strings.Builder
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			source.WriteString(text(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, quoted := range regexp.MustCompile("`([^`\n]+)`").FindAllStringSubmatch(text(t, "docs/architecture.md"), -1) {
		switch name := quoted[1]; {
		case regexp.MustCompile(`^[a-z0-9]+/[a-z0-9_]+\.go$`).MatchString(name):
			if _, err := os.Stat(name); err != nil {
				t.Error(err)
			}
			n++
		case regexp.MustCompile(`^[A-Za-z]+\.(\(\*[A-Za-z]+\)\.)?[A-Za-z]+$`).MatchString(name) && name != "state.db" && !strings.HasSuffix(name, ".txt"):
			parts := regexp.MustCompile(`[A-Za-z]+`).FindAllString(name, -1)
			last := parts[len(parts)-1]
			if !regexp.MustCompile(`(?m)^(func (\(.*\) )?|type |\t)` + last + `\b`).MatchString(source.String()) {
				t.Errorf("there is no %s", name)
			}
			n++
		}
	}
	if n < 30 {
		t.Errorf("only %d names were found", n)
	}
}

func text(t *testing.T, path string) string {
	t.Helper()
	octets, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(octets)
}
