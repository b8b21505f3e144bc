package configs

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	yaml "go.yaml.in/yaml/v3"
)

// TestSampleLoads loads the sample from a file that everybody may read: it holds no password.
func TestSampleLoads(t *testing.T) {
	t.Setenv("HOME", private(t))
	path := written(t, private(t), "config.yaml", string(Sample()), 0o644)
	if _, err := Load(path); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile("sample.yaml")
	if err != nil || string(file) != string(Sample()) {
		t.Errorf("the sample is not the file: %v", err)
	}
}

// TestSampleStatesDefaults compares the sample with what is left of it when everything that has a default is taken out.
func TestSampleStatesDefaults(t *testing.T) {
	same(t, parsed(t, string(Sample())), parsed(t, `
maildir: ~/Mail
accounts:
  work:
    address: ada@example.org
    password: {command: [pass, show, mail/work]}
    imap: {host: imap.example.org}
    smtp: {host: smtp.example.org}
  home:
    address: ada@example.net
    password: {credential: home}
    pop3: {host: pop.example.net}
`))
}

// uncommented is the sample with the keys switched on that have no default.
func uncommented() string {
	return regexp.MustCompile(`(?m)^( *)# ([a-z_]+: )`).ReplaceAllString(string(Sample()), "$1$2")
}

// TestSampleExamples reads the sample with its examples switched on.
func TestSampleExamples(t *testing.T) {
	c := parsed(t, uncommented())
	if c.Metrics == "" || len(c.OnNewMail) != 2 {
		t.Errorf("%+v", c)
	}
	for _, s := range []Server{c.Accounts[0].IMAP.Server, c.Accounts[0].SMTP.Server, c.Accounts[1].POP3.Server} {
		if s.CAFile == "" || len(s.Pins) != 1 || s.ClientCert == "" || s.ClientKey == "" {
			t.Errorf("%+v", s)
		}
	}
}

// TestSampleIsComplete asks every section for its keys, by giving it one that cannot be right, and looks for each of them in the sample.
func TestSampleIsComplete(t *testing.T) {
	var whole map[string]any
	if err := yaml.Unmarshal([]byte(uncommented()), &whole); err != nil {
		t.Fatal(err)
	}
	section := func(path string) map[string]any {
		m := whole
		for key := range strings.FieldsSeq(path) {
			m = m[key].(map[string]any)
		}
		return m
	}
	for path, elsewhere := range map[string][]string{
		"": nil, "log": nil, "outbox": nil, "accounts work": {"pop3"}, "accounts work imap": nil, "accounts work smtp": nil, "accounts home pop3": nil,
	} {
		m := section(path)
		m["qqqqqqqqqqqq"] = 1
		text, err := yaml.Marshal(whole)
		if err != nil {
			t.Fatal(err)
		}
		delete(m, "qqqqqqqqqqqq")
		said := strings.Join(mistakes(t, string(text)), "\n")
		_, list, ok := strings.Cut(strings.TrimSuffix(said, ")"), "(known: ")
		if !ok {
			t.Fatalf("%q: %s", path, said)
		}
		known := strings.Split(list, ", ")
		for _, key := range known {
			if _, there := m[key]; !there && !slices.Contains(elsewhere, key) {
				t.Errorf("the sample says nothing of %s in %q", key, path)
			}
		}
		if len(known) < len(m) {
			t.Errorf("%q has %d keys, known are %d", path, len(m), len(known))
		}
	}
}
