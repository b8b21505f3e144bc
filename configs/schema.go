package configs

import (
	"log/slog"
	"net"
	"strings"
	"time"
)

// Parse reads a configuration from data. name is the file's, for messages. It looks at nothing but data and env: the files that the configuration names are
// not opened. The error is an *Errors with every mistake, each with its line. It does not keep data.
func Parse(name string, data []byte, env Env) (*Config, error) {
	c, d, err := parse(name, data, env)
	if err != nil {
		return nil, err
	}
	if err := collected(d.errs); err != nil {
		return nil, err
	}
	return c, nil
}

// parse reads a configuration as far as it can be read; the mistakes are in the document. An error means that not even the keys can be seen.
func parse(name string, data []byte, env Env) (*Config, *document, error) {
	d := &document{file: name, env: env}
	top, err := d.open(data)
	if err != nil {
		return nil, nil, err
	}
	c := d.config(top)
	if d.visits > maxVisits {
		return nil, nil, alone(Error{File: name, Line: 1, Problem: "has more values than any configuration needs", Remedy: "aliases (*name) multiply what they stand for: use fewer"})
	}
	return c, d, nil
}

// config reads the top mapping.
func (d *document) config(m *mapping) *Config {
	c := &Config{File: d.file}
	read(m, "maildir", &c.Maildir, d.env.expand)
	if !m.has("maildir") {
		m.missing("maildir", "is missing: it is the root of every folder", "write maildir: ~/Mail")
	}
	c.Log = d.log(m)
	c.Metrics = d.metrics(m)
	c.OnNewMail = argv(m, "on_new_mail")
	c.Outbox = d.outbox(m)
	d.apart(c)
	if v, ok := m.take("accounts"); ok {
		c.Accounts = d.accounts(v)
	} else {
		m.missing("accounts", "is missing: there is no account", "")
	}
	m.finish(true, nil)
	return c
}

// log reads the log section.
func (d *document) log(m *mapping) Log {
	l := Log{Level: slog.LevelInfo, Format: "auto"}
	v, ok := m.take("log")
	if !ok {
		return l
	}
	if s := v.mapping(); s != nil {
		read(s, "level", &l.Level, parseLevel)
		read(s, "format", &l.Format, oneOf("auto", "text", "json"))
		s.finish(false, nil)
	}
	return l
}

// parseLevel takes a level of log/slog by name.
func parseLevel(s string) (slog.Level, error) {
	name, err := oneOf("debug", "info", "warn", "error")(s)
	if err != nil {
		return 0, err
	}
	var level slog.Level
	return level, level.UnmarshalText([]byte(name))
}

// metrics reads the address to serve metrics on: one text, or a mapping that says it is meant for others too.
func (d *document) metrics(m *mapping) string {
	var address string
	var public bool
	v, ok := m.take("metrics")
	if !ok {
		return ""
	}
	if v.isText() {
		readValue(v, &address, parseListen)
	} else if s := v.mapping(); s != nil {
		read(s, "listen", &address, parseListen)
		read(s, "public", &public, parseBool)
		if !s.has("listen") {
			s.missing("listen", "is missing", "write listen: 127.0.0.1:9427")
		}
		s.finish(false, nil)
	}
	if address == "" {
		return ""
	}
	if host, _, _ := net.SplitHostPort(address); !public && !loopback(host) {
		v.fail("would show the accounts to other machines", "listen on 127.0.0.1, or write {listen: HOST:PORT, public: true}")
	}
	return address
}

// outbox reads the outbox section, which may be the word off.
func (d *document) outbox(m *mapping) Outbox {
	o := Outbox{RetryFor: 5 * 24 * time.Hour, Uncertain: "hold"}
	v, ok := m.take("outbox")
	if ok && v.isText() && !v.isNull() {
		// off is how YAML 1.1 says false, and some tools rewrite one into the other.
		if word, ok := v.text(); ok && word != "off" && word != "false" {
			v.fail("must be off or a mapping", "leave it out for an outbox in ~/Outbox")
		}
		o.Off = true
		return o
	}
	s := &mapping{value: v}
	if ok {
		if s = v.mapping(); s == nil {
			return o
		}
	}
	read(s, "path", &o.Path, d.env.expand)
	d.outboxAt, ok = s.at("path")
	if !ok {
		path, err := d.env.expand("~/Outbox")
		if err != nil {
			s.missing("path", "is missing, and there is no home directory for ~/Outbox", "set HOME, write a path, or write outbox: off")
		}
		o.Path = path
	}
	read(s, "retry_for", &o.RetryFor, parsePositive)
	read(s, "hold", &o.Hold, parseDuration)
	read(s, "uncertain", &o.Uncertain, oneOf("hold", "resend"))
	if o.Hold >= o.RetryFor {
		at, _ := s.at("hold")
		at.fail("is not shorter than retry_for: every message would expire unsent", "shorten it or lengthen retry_for")
	}
	s.finish(false, nil)
	return o
}

// apart refuses an outbox in the Maildir root or the other way round: a reader's index would take the queue for mail, or the queue a folder for a draft.
func (d *document) apart(c *Config) {
	if c.Outbox.Off || c.Outbox.Path == "" || c.Maildir == "" {
		return
	}
	if within(c.Maildir, c.Outbox.Path) || within(c.Outbox.Path, c.Maildir) {
		d.outboxAt.fail("lies inside the maildir, or the maildir inside it", "keep them side by side, such as ~/Outbox and ~/Mail")
	}
}

// argv reads a command: the program and its arguments, run without a shell.
func argv(m *mapping, name string) []string {
	var words []string
	readList(m, name, &words, parseArgument)
	if v, _ := m.at(name); len(words) > 0 && words[0] == "" {
		v.fail("names no program", "write [PROGRAM, ARGUMENT, ...]")
	}
	return words
}

// parseArgument takes one argument of a command.
func parseArgument(s string) (string, error) {
	if strings.Contains(s, "\x00") {
		return "", wrong("has a NUL character", "take it out")
	}
	return s, nil
}
