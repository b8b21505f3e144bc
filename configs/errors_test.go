package configs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// good is a whole configuration that the tables below put one mistake into.
const good = "maildir: /m\naccounts: {a: {user: u, password: p, pop3: {host: h}}}\n"

// TestMistakes puts a line into an otherwise right configuration and compares everything that is said, remedies apart.
func TestMistakes(t *testing.T) {
	tests := map[string]struct {
		text string
		want []string // LINE: KEY: PROBLEM
	}{
		"empty":           {"", []string{"1: maildir: is missing", "1: accounts: is missing"}},
		"comment":         {"# nothing\n", []string{"1: maildir: is missing", "1: accounts: is missing"}},
		"not a mapping":   {"- a\n", []string{"1: must be a mapping"}},
		"no accounts":     {"maildir: /m\naccounts: {}\n", []string{"2: accounts: is empty"}},
		"only anchors":    {"maildir: /m\naccounts:\n  x-a: {}\n", []string{"2: accounts: is empty"}},
		"unknown key":     {good + "maildr: x\n", []string{"3: maildr: unknown key (did you mean maildir?)"}},
		"strange key":     {good + "zebra: x\n", []string{"3: zebra: unknown key (known: maildir, log, metrics, on_new_mail, outbox, accounts)"}},
		"twice":           {good + "maildir: /n\n", []string{"3: maildir: a key is given twice, first on line 1"}},
		"account twice":   {good + "  \nx: 1\n", []string{"4: x: unknown key"}},
		"second document": {good + "---\nlog: {}\n", []string{"3: a second YAML document begins here"}},
		"empty second":    {good + "---\n", []string{"3: a second YAML document begins here"}},
		"null":            {"maildir:\naccounts: {a: {user: u, password: p, pop3: {host: h}}}\n", []string{"1: maildir: has no value"}},
		"list":            {good + "log: [a]\n", []string{"3: log: must be a mapping"}},
		"level":           {good + "log: {level: loud, format: xml}\n", []string{"3: log.level: is not one of", "3: log.format: is not one of"}},
		"metrics open":    {good + "metrics: :9427\n", []string{"3: metrics: would show the accounts to other machines"}},
		"metrics public":  {good + "metrics: {listen: \"192.0.2.1:1\", public: yes}\n", []string{"3: metrics.public: is neither true nor false", "3: metrics: would show"}},
		"metrics empty":   {good + "metrics: {public: true}\n", []string{"3: metrics.listen: is missing"}},
		"metrics port":    {good + "metrics: localhost\n", []string{"3: metrics: is not HOST:PORT"}},
		"hook":            {good + "on_new_mail: notmuch new\n", []string{"3: on_new_mail: must be a list"}},
		"hook empty":      {good + "on_new_mail: [\"\", x]\n", []string{"3: on_new_mail: names no program"}},
		"outbox on":       {good + "outbox: on\n", []string{"3: outbox: must be off or a mapping"}},
		"outbox inside":   {good + "outbox:\n  path: /m/out\n", []string{"4: outbox.path: lies inside the maildir"}},
		"outbox around":   {"maildir: ~/Outbox/mail\n" + good[12:], []string{"1: outbox.path: lies inside the maildir"}},
		"outbox hold":     {good + "outbox: {retry_for: 1d, hold: 24h}\n", []string{"3: outbox.hold: is not shorter than retry_for"}},
		"outbox lifetime": {good + "outbox: {retry_for: 0, uncertain: drop}\n", []string{"3: outbox.retry_for: must be more than 0", "3: outbox.uncertain: is not one of"}},
		"tag":             {"maildir: !secret x\n" + good[12:], []string{"1: maildir: has a YAML tag"}},
		"key not text":    {good + "? [a, b]\n: c\n", []string{"3: has a key that is not text"}},
		"merge a scalar":  {good + "<<: x\n", []string{"3: <<: must name a mapping"}},
		"merge twice":     {"x-a: &a {}\n" + good + "<<: *a\n<<: *a\n", []string{"5: <<: a key is given twice, first on line 4 (write one, with a list"}},
		"merge itself":    {"x-a: &a\n  <<: *a\n" + good + "log: *a\n", []string{"2: log.<<: is nested too deeply"}},
		"merged mistake":  {"x-a: &a\n  level: loud\n" + good + "log: {<<: *a}\n", []string{"2: log.level: is not one of"}},
		"aliased mistake": {"x-a: &a loud\n" + good + "log: {level: *a}\n", []string{"1: log.level: is not one of"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { compare(t, mistakes(t, test.text), test.want) })
	}
}

// TestAccountMistakes gives one account on line 3 and compares everything that is said of it.
func TestAccountMistakes(t *testing.T) {
	tests := map[string]struct {
		account string
		want    []string
	}{
		"nothing":          {"a:", []string{"3: accounts.a.address: is missing, and so is user", "3: accounts.a: has no server"}},
		"no server":        {"a: {address: a@b, password: p}", []string{"3: accounts.a: has no server"}},
		"both":             {"a: {user: u, password: p, imap: {host: h}, pop3: {host: h}}", []string{"3: accounts.a.pop3: stands beside imap"}},
		"bad name":         {"'a b': {user: u, password: p, pop3: {host: h}}", []string{"3: accounts.?: an account's name has"}},
		"dot name":         {".a: {user: u, password: p, pop3: {host: h}}", []string{"3: accounts.?: an account's name has"}},
		"tmp":              {"tmp: {user: u, password: p, pop3: {host: h}}", []string{"3: accounts.tmp: tmp, new and cur belong"}},
		"case":             {"b: {user: u, password: p, pop3: {host: h}}\n  B: {user: u, password: p, pop3: {host: h}}", []string{"4: accounts.B: another account has this name"}},
		"twice":            {"b: {user: u, password: p, pop3: {host: h}}\n  b: {user: u, password: p, pop3: {host: h}}", []string{"4: accounts.b: a key is given twice, first on line 3"}},
		"no password":      {"a: {user: u, pop3: {host: h}}", []string{"3: accounts.a.password: is missing"}},
		"oauth":            {"a: {user: u, pop3: {host: h, auth: xoauth2}}", []string{"3: accounts.a.password: is missing"}},
		"no host":          {"a: {user: u, password: p, imap: {}}", []string{"3: accounts.a.imap.host: is missing (write the name of the IMAP server)"}},
		"null section":     {"a: {user: u, password: p, smtp: }", []string{"3: accounts.a.smtp.host: is missing", "3: accounts.a.address: is missing"}},
		"address":          {"a: {address: Ada <a@b>, password: p, imap: {host: h}}", []string{"3: accounts.a.address: is not a mail address"}},
		"address comment":  {"a: {address: a@b (c), password: p, imap: {host: h}}", []string{"3: accounts.a.address: is not a mail address"}},
		"address domain":   {"a: {address: a@b!c, password: p, imap: {host: h}}", []string{"3: accounts.a.address: is not a mail address"}},
		"alias":            {"a: {address: a@b, aliases: ['*@', '*', '*@c d'], password: p, imap: {host: h}}", []string{"3: accounts.a.aliases[0]: is not *@ and", "3: accounts.a.aliases[1]: is not a mail address", "3: accounts.a.aliases[2]: is not *@ and"}},
		"user":             {"a: {user: \"u\\r\\nQUIT\", password: p, imap: {host: h}}", []string{"3: accounts.a.user: has a control character"}},
		"host line":        {"a: {user: u, password: p, imap: {host: \"h\\n\"}}", []string{"3: accounts.a.imap.host: is not a host"}},
		"host port":        {"a: {user: u, password: p, imap: {host: h.org:993}}", []string{"3: accounts.a.imap.host: is not a host (write the port as port)"}},
		"host url":         {"a: {user: u, password: p, imap: {host: imaps://h}}", []string{"3: accounts.a.imap.host: is a URL"}},
		"host idn":         {"a: {user: u, password: p, imap: {host: bücher.example}}", []string{"3: accounts.a.imap.host: has letters beyond ASCII"}},
		"port":             {"a: {user: u, password: p, imap: {host: h, port: 65536}}", []string{"3: accounts.a.imap.port: is not a whole number from 1 to 65535"}},
		"port zero":        {"a: {user: u, password: p, imap: {host: h, port: 0}}", []string{"3: accounts.a.imap.port: is not a whole"}},
		"port list":        {"a: {user: u, password: p, imap: {host: h, port: [1]}}", []string{"3: accounts.a.imap.port: must be a single value"}},
		"cleartext":        {"a: {user: u, password: p, pop3: {host: h.org, tls: none}}", []string{"3: accounts.a.pop3.tls: would send mail and password in the clear"}},
		"cleartext like":   {"a: {user: u, password: p, pop3: {host: localhost.example.org, tls: none}}", []string{"3: accounts.a.pop3.tls: would send"}},
		"tls":              {"a: {user: u, password: p, pop3: {host: h, tls: ssl}}", []string{"3: accounts.a.pop3.tls: is not one of implicit, starttls, none"}},
		"pin without TLS":  {"a: {user: u, password: p, pop3: {host: localhost, tls: none, pins: []}}", []string{"3: accounts.a.pop3.pins: has no effect"}},
		"pin":              {"a: {user: u, password: p, pop3: {host: h, pins: ['sha256:00', 'sha1:00']}}", []string{"3: accounts.a.pop3.pins[0]: is not a pin", "3: accounts.a.pop3.pins[1]: is not a pin"}},
		"cert alone":       {"a: {user: u, password: p, pop3: {host: h, client_cert: c}}", []string{"3: accounts.a.pop3.client_cert: needs client_key"}},
		"external":         {"a: {user: u, pop3: {host: h, auth: external}}", []string{"3: accounts.a.pop3.auth: logs in by a TLS client certificate"}},
		"imap apop":        {"a: {user: u, password: p, imap: {host: h, auth: apop}}", []string{"3: accounts.a.imap.auth: is not one of"}},
		"pop3 folders":     {"a: {user: u, password: p, pop3: {host: h, folders: [x]}}", []string{"3: accounts.a.pop3.folders: belongs to IMAP"}},
		"pop3 push":        {"a: {user: u, password: p, pop3: {host: h, push: true, connections: 3}}", []string{"3: accounts.a.pop3.push: belongs to IMAP", "3: accounts.a.pop3.connections: belongs to IMAP"}},
		"pop3 seen":        {"a: {user: u, password: p, pop3: {host: h, on_server: seen}}", []string{"3: accounts.a.pop3.on_server: is for IMAP"}},
		"pop3 move":        {"a: {user: u, password: p, pop3: {host: h, on_server: move X}}", []string{"3: accounts.a.pop3.on_server: is for IMAP"}},
		"misplaced":        {"a: {user: u, password: p, host: h, imap: {host: h, user: v}}", []string{"3: accounts.a.imap.user: belongs to the account", "3: accounts.a.host: belongs below"}},
		"smtp schedule":    {"a: {address: a@b, password: p, smtp: {host: h, schedule: manual}}", []string{"3: accounts.a.smtp.schedule: belongs to imap or pop3"}},
		"folders":          {"a: {user: u, password: p, imap: {host: h, folders: ['!', '']}}", []string{"3: accounts.a.imap.folders[0]: has an empty name", "3: accounts.a.imap.folders[1]: has an empty name", "3: accounts.a.imap.folders: names no folder"}},
		"only excluded":    {"a: {user: u, password: p, imap: {host: h, folders: ['!x']}}", []string{"3: accounts.a.imap.folders: names no folder to fetch"}},
		"folders text":     {"a: {user: u, password: p, imap: {host: h, folders: INBOX}}", []string{"3: accounts.a.imap.folders: must be a list"}},
		"connections":      {"a: {user: u, password: p, imap: {host: h, connections: 0}}", []string{"3: accounts.a.imap.connections: is not a whole"}},
		"timeout":          {"a: {user: u, password: p, imap: {host: h, timeout: 0s}}", []string{"3: accounts.a.imap.timeout: must be more than 0"}},
		"two passwords":    {"a: {user: u, password: {env: A, file: b}, imap: {host: h}}", []string{"3: accounts.a.password: must have exactly one source"}},
		"none":             {"a: {user: u, password: {}, imap: {host: h}}", []string{"3: accounts.a.password: must have exactly one source"}},
		"null password":    {"a: {user: u, password: , imap: {host: h}}", []string{"3: accounts.a.password: has no value"}},
		"empty password":   {"a: {user: u, password: '', imap: {host: h}}", []string{"3: accounts.a.password: is empty"}},
		"empty command":    {"a: {user: u, password: {command: []}, imap: {host: h}}", []string{"3: accounts.a.password.command: names no program"}},
		"password line":    {`a: {user: u, password: "p\r\nQUIT", imap: {host: h}}`, []string{"3: accounts.a.password: has a line break"}},
		"password block":   {"a:\n    user: u\n    password: |\n      p\n    imap: {host: h}", []string{"5: accounts.a.password: has a line break"}},
		"password NUL":     {`a: {user: u, password: "p\0", imap: {host: h}}`, []string{"3: accounts.a.password: has a NUL"}},
		"env":              {"a: {user: u, password: {env: $PW}, imap: {host: h}}", []string{"3: accounts.a.password.env: is not the name of a variable"}},
		"credential":       {"a: {user: u, password: {credential: ../x}, imap: {host: h}}", []string{"3: accounts.a.password.credential: is not the name of a credential"}},
		"same sender":      {"a: {address: a@b, password: p, smtp: {host: h}}\n  b: {address: c@d, aliases: [A@B], password: p, smtp: {host: h}}", []string{"4: accounts.b.address: account a sends for the same address"}},
		"same, no sending": {"a: {address: a@b, password: p, smtp: {host: h}}\n  b: {address: a@b, password: p, pop3: {host: h}}", nil},
		"loopback":         {"a: {user: u, password: p, pop3: {host: 127.0.0.1, tls: none}}\n  b: {user: u, password: p, pop3: {host: '::1', tls: none}}\n  c: {user: u, password: p, pop3: {host: localhost, tls: none}}", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			compare(t, mistakes(t, "maildir: /m\naccounts:\n  "+test.account+"\n"), test.want)
		})
	}
}

// compare wants each mistake to begin as told, and no other.
func compare(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("got:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// TestSyntaxLine checks the line of what is not YAML at all: the library's own is wrong or missing for most of these.
func TestSyntaxLine(t *testing.T) {
	tests := map[string]struct {
		text string
		line string
	}{
		"tab":             {"a: 1\nb:\n\tc: 2\nd: 3\n", "3"},
		"two colons":      {"a: 1\nb: 2: 3\nc: 4\n", "2"},
		"indent":          {"a:\n  b: 1\n c: 2\nd: 3\n", "3"},
		"open quote":      {"a: 1\nb: 'x\nc: 2\nd: 3\n", "2"},
		"open bracket":    {"a: 1\nb: [x,\nc: 2\nd: 3\n", "3"},
		"anchor on top":   {"a: *none\nb: 2\n", "1"},
		"anchor":          {"a: 1\nb: *none\nc: 2\n", "2"},
		"UTF-8":           {"a: 1\nb: 2\nc: \xff\nd: 4\n", "3"},
		"control":         {"a: 1\nb: \x01\n", "2"},
		"second document": {"a: 1\n---\nb: 2\n c: 3\n", "4"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := mistakes(t, test.text)
			if len(got) != 1 || !strings.HasPrefix(got[0], test.line+": is not valid YAML: ") {
				t.Errorf("got %q, want line %s", got, test.line)
			}
		})
	}
}

// TestBounds gives files that are small and name a great deal; each must end soon, with one mistake.
func TestBounds(t *testing.T) {
	account := "{user: u, password: p, pop3: {host: h}}"
	var laughs strings.Builder
	laughs.WriteString("x-0: &a0 [x]\n")
	for i := range 25 {
		n := string(rune('a' + i))
		p := string(rune('a' + i - 1))
		if i == 0 {
			p = "a0"
		}
		laughs.WriteString("x-" + n + ": &" + n + " [*" + p + ", *" + p + "]\n")
	}
	tests := map[string]struct{ text, want string }{
		"lists": {"x-l: &l [" + strings.Repeat("a,", 50_000) + "]\nx-b: &b {host: h, folders: *l}\nmaildir: /m\naccounts:\n" +
			numbered(1000, "  ", ": {user: u, password: p, imap: *b}\n"), "1: has more values"},
		"merges": {"x-a: &a {" + strings.Repeat("a: 1,", 50) + "}\nx-b: &b {<<: [" + strings.Repeat("*a,", 1000) + "]}\nx-c: &c {<<: [" +
			strings.Repeat("*b,", 1000) + "]}\nmaildir: /m\nlog: *c\naccounts: {a: " + account + "}\n", "1: has more values"},
		"size":       {good + strings.Repeat("#", maxFile), "1: is larger than 1 MiB"},
		"nesting":    {"a: " + strings.Repeat("[", 20_000), "1: is not valid YAML: exceeded max depth"},
		"mistakes":   {good + numbered(5000, "", ": 1\n"), "3: k0: unknown key"},
		"alias only": {laughs.String() + good + "log: {level: *y}\n", "29: log.level: must be a single value"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			got := mistakes(t, test.text)
			if len(got) == 0 || !strings.HasPrefix(got[0], test.want) || len(got) > maxErrors+1 {
				t.Errorf("%d mistakes, the first %.200q, want %q", len(got), slices.Concat(got, []string{""})[0], test.want)
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// numbered is n lines that begin with k0, k1 and so on and end alike.
func numbered(n int, indent, rest string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%sk%d%s", indent, i, rest)
	}
	return b.String()
}

func TestErrorText(t *testing.T) {
	_, err := Parse("/etc/postrider/config.yaml", []byte(good+"zebra: 1\n  \nlog: {level: x}\n"), world())
	const want = "/etc/postrider/config.yaml:3: zebra: unknown key (known: maildir, log, metrics, on_new_mail, outbox, accounts)\n" +
		"/etc/postrider/config.yaml:5: log.level: is not one of debug, info, warn, error"
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
	var permanent interface{ Permanent() bool }
	if !errors.As(err, &permanent) || !permanent.Permanent() {
		t.Error("a mistake in the configuration is not permanent")
	}
}
