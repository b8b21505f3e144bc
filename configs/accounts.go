package configs

import (
	"net/mail"
	"regexp"
	"strings"
)

// accountName is what an account may be called: a name that is safe as a folder, in a log line and on a command line.
var accountName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*$`)

// accounts reads the accounts in the order of the file. x- keys among them hold anchors.
func (d *document) accounts(v value) []Account {
	m := v.mapping()
	if m == nil {
		return nil
	}
	var all []Account
	names, senders := map[string]bool{}, map[string]string{}
	for _, p := range m.pairs {
		if strings.HasPrefix(p.name, "x-") || !d.visit() {
			continue
		}
		at := m.child(p)
		at.line = p.line
		folded := strings.ToLower(p.name)
		switch {
		case !accountName.MatchString(p.name) || len(p.name) > 128:
			at.key = m.key + ".?"
			at.fail("an account's name has letters, digits, dots, _ and - only, at most 128, and begins with no dot", "give the account another name")
		case reserved(p.name):
			at.fail("tmp, new and cur belong to the inside of a Maildir", "give the account another name")
		case names[folded]:
			at.fail("another account has this name but for capital letters", "give one of them another name")
		}
		names[folded] = true
		s := at.mapping()
		if s == nil {
			continue
		}
		a := d.account(s, p.name)
		d.senders(s, a, senders)
		all = append(all, a)
	}
	if len(names) == 0 {
		v.fail("is empty: there is no account", "")
	}
	return all
}

// account reads one account.
func (d *document) account(m *mapping, name string) Account {
	a := Account{Name: name}
	read(m, "address", &a.Address, parseAddress)
	readList(m, "aliases", &a.Aliases, parseAlias)
	read(m, "user", &a.User, parseUser)
	if !m.has("user") {
		a.User = a.Address
		if !m.has("address") {
			m.missing("address", "is missing, and so is user", "write address: NAME@DOMAIN")
		}
	}
	if v, ok := m.take("password"); ok {
		a.Password = d.secret(v)
	}
	if v, ok := m.take("imap"); ok {
		if s := v.mapping(); s != nil {
			a.IMAP = d.mailbox(s, imap())
		}
	}
	if v, ok := m.take("pop3"); ok {
		if m.has("imap") {
			v.fail("stands beside imap: an account receives by one of them", "make two accounts of it")
		}
		if s := v.mapping(); s != nil {
			a.POP3 = d.mailbox(s, pop3())
		}
	}
	if v, ok := m.take("smtp"); ok {
		if s := v.mapping(); s != nil {
			a.SMTP = d.submission(s)
		}
	}
	d.complete(m, a)
	m.finish(true, ofServers())
	return a
}

// complete reports what an account lacks as a whole.
func (d *document) complete(m *mapping, a Account) {
	if !m.has("imap") && !m.has("pop3") && !m.has("smtp") {
		m.fail("has no server", "write imap, pop3 or smtp")
		return
	}
	need := false
	for _, b := range []*Mailbox{a.IMAP, a.POP3} {
		need = need || b != nil && !b.passwordless()
	}
	need = need || a.SMTP != nil && !a.SMTP.passwordless()
	if need && !m.has("password") {
		m.missing("password", "is missing", "write {command: [...]}, {file: ...}, {env: ...}, {credential: ...} or the password itself")
	}
	if a.SMTP != nil && m.has("user") && !m.has("address") && len(a.Aliases) == 0 {
		m.missing("address", "is missing: no message would ever be sent through this account", "write address: NAME@DOMAIN")
	}
}

// senders reports a From address that two accounts send: nothing says which of them is meant.
func (d *document) senders(m *mapping, a Account, taken map[string]string) {
	if a.SMTP == nil {
		return
	}
	at, _ := m.at("aliases")
	if v, ok := m.at("address"); ok {
		at = v
	}
	for _, address := range append([]string{a.Address}, a.Aliases...) {
		address = strings.ToLower(address)
		other, twice := taken[address]
		if address != "" && twice && other != a.Name {
			at.fail("account "+other+" sends for the same address", "keep it in one of them, or take out one smtp")
			return
		}
		taken[address] = a.Name
	}
}

// ofServers is where keys belong that stand in an account by mistake.
func ofServers() map[string]string {
	places := map[string]string{"sent": "to smtp"}
	for _, key := range []string{"host", "port", "tls", "ca_file", "pins", "client_cert", "client_key", "auth", "allow_cleartext", "timeout"} {
		places[key] = "below imap, pop3 or smtp"
	}
	for _, key := range []string{"deliver_to", "schedule", "on_server", "max_size"} {
		places[key] = "below imap or pop3"
	}
	for _, key := range []string{"folders", "push", "connections"} {
		places[key] = "below imap"
	}
	return places
}

// secret reads where a password comes from. Nothing that stands below it is repeated in a message, keys included: {secret} is a mapping with one key.
func (d *document) secret(v value) Secret {
	var s Secret
	if v.isText() {
		if readValue(v, &s.Literal, parsePassword) {
			d.literals = append(d.literals, v)
		}
		return s
	}
	m := v.mapping()
	if m == nil {
		return s
	}
	s.Command = argv(m, "command")
	d.path(m, "file", &s.File, passwordFile)
	read(m, "env", &s.Env, parseVariable)
	read(m, "credential", &s.Credential, parseCredential)
	if at, ok := m.at("command"); ok && at.isList() && len(at.node.Content) == 0 {
		at.fail("names no program", "write [PROGRAM, ARGUMENT, ...]")
	}
	sources := 0
	for _, p := range m.pairs {
		switch p.name {
		case "command", "file", "env", "credential":
			sources++
		default:
			v.fail("has an unknown key", "known: command, file, env, credential; a password with braces needs quotes")
		}
	}
	if sources != 1 {
		v.fail("must have exactly one source", "write one of command, file, env, credential, or the password itself")
	}
	return s
}

// parseUser takes a login name.
func parseUser(s string) (string, error) {
	if s == "" {
		return "", wrong("is empty", "leave it out to log in by the address")
	}
	return s, controls(s)
}

// parseVariable takes the name of an environment variable.
func parseVariable(s string) (string, error) {
	if !isName(s) {
		return "", wrong("is not the name of a variable", "write the bare name, without $")
	}
	return s, nil
}

// parseCredential takes the name of a systemd credential, which is the name of a file.
func parseCredential(s string) (string, error) {
	if s == "" || s == "." || s == ".." || strings.Contains(s, "/") || len(s) > 255 {
		return "", wrong("is not the name of a credential", "write the name that LoadCredential= gives it")
	}
	return s, controls(s)
}

// parseAddress takes a bare mail address (RFC 5321 section 4.1.2; RFC 6532 lets it leave ASCII).
func parseAddress(s string) (string, error) {
	const remedy = "write it like ada@example.org, without a name"
	if controls(s) != nil || len(s) > 254 || strings.ContainsAny(s, "<>") {
		return "", wrong("is not a mail address", remedy)
	}
	a, err := mail.ParseAddress("<" + s + ">")
	// A comment is legal in a header field and nonsense in an envelope; the parser drops it, and so what it understood differs.
	if err != nil || a.Address != s && !strings.HasPrefix(s, `"`) {
		return "", wrong("is not a mail address", remedy)
	}
	domain := s[strings.LastIndexByte(s, '@')+1:]
	if isASCII(domain) && !isDomain(domain) && domain[0] != '[' {
		return "", wrong("is not a mail address", remedy)
	}
	return s, nil
}

// parseAlias takes a mail address or *@DOMAIN.
func parseAlias(s string) (string, error) {
	domain, all := strings.CutPrefix(s, "*@")
	if !all {
		return parseAddress(s)
	}
	if _, err := parseAddress("x@" + domain); err != nil {
		return "", wrong("is not *@ and a domain", `write it like "*@example.org"`)
	}
	return s, nil
}
