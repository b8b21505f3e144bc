package configs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const planted = "hunter2!planted"

// TestT88SecretsStayHidden prints a configuration in every way that Go has.
func TestT88SecretsStayHidden(t *testing.T) {
	for name, secret := range map[string]Secret{
		"literal": {Literal: planted}, "file": {File: "/" + planted}, "env": {Env: planted},
		"credential": {Credential: planted}, "command": {Command: []string{"echo", planted}},
	} {
		a := Account{Name: "a", Password: secret, POP3: &Mailbox{}}
		c := &Config{Accounts: []Account{a}}
		var printed strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&printed, verb+verb+verb+verb+"\n", secret, &secret, a, c)
		}
		fmt.Fprintln(&printed, secret.String(), secret.GoString(), secret)
		var log bytes.Buffer
		for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
			slog.New(handler).Info("x", "secret", secret, "account", a, "config", c)
		}
		encoded, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{printed.String(), log.String(), string(encoded)} {
			if strings.Contains(text, planted) || strings.Contains(text, fmt.Sprintf("%x", planted)) || strings.Contains(text, fmt.Sprintf("%X", planted)) {
				t.Errorf("%s: shown in %s", name, text)
			}
		}
		if !strings.Contains(printed.String(), name) || secret.IsZero() {
			t.Errorf("%s: the kind does not show: %s", name, secret)
		}
	}
	if !(Secret{}).IsZero() || (Secret{}).String() != "none" {
		t.Error("no secret is one")
	}
}

// TestT88MistakesKeepSecrets puts a password where it does harm: the wrong shape, the wrong key, half a line of YAML.
func TestT88MistakesKeepSecrets(t *testing.T) {
	for _, password := range []string{
		"{SECRET}", "{SECRET: x}", "{SECRET, SECRET}", "{literal: SECRET}", "[SECRET]", "[a, SECRET]", "\"SECRET\\n\"", "'SECRET", "*SECRET",
		"&SECRET", "!SECRET", "!SECRET x", "a: SECRET", "{file: SECRET, env: SECRET}", "{env: $SECRET}", "{credential: /SECRET}", "{command: SECRET}",
		"{command: [\"\", SECRET]}", "{file: ~SECRET/x}", "{file: ${SECRET}", "\n      SECRET:\n      SECRET:", "x, SECRET: y", "x, SECRET",
		"x\n    passwort: SECRET", "x\n    SECRET", "@SECRET", "|SECRET", "%SECRET",
	} {
		for _, secret := range []string{planted, "hunter2"} {
			text := strings.ReplaceAll(password, "SECRET", secret)
			for _, form := range []string{"maildir: /m\naccounts:\n  a:\n    password: %s\n    port: 1\n", "maildir: /m\naccounts: {a: {password: %s, port: 1}}\n"} {
				said := strings.Join(mistakes(t, fmt.Sprintf(form, text)), "\n")
				if said == "" {
					t.Errorf("nothing is said of %q", text)
				}
				// In a block anything may be a key, and a key of the right form is named: a word alone on a line is not a password yet.
				if strings.Contains(said, secret) && !strings.HasPrefix(password, "x\n") {
					t.Errorf("%q is shown in\n%s", text, said)
				}
				if strings.Contains(said, planted) {
					t.Errorf("%q is shown in\n%s", text, said)
				}
			}
		}
	}
}
