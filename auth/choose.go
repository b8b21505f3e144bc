package auth

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"
)

// Credentials is who logs in where.
type Credentials struct {
	User       string
	Password   func(ctx context.Context) (string, error) // usually Password.Get; nil when the account has none
	Host       string
	Port       int
	ClientCert bool // TLS shows a client certificate
}

// Policy is what the configuration allows.
type Policy struct {
	// Auth is auto, plain, login, cram-md5, scram-sha-1, scram-sha-256,
	// xoauth2, oauthbearer, external or apop; empty is auto.
	Auth string
	// Secure says that the line is under verified TLS, or that the
	// configuration allows cleartext for this host.
	Secure bool
}

// Login commands of the protocols themselves, as they stand in
// Choice.Mechanism beside the names of SASL.
const (
	CommandUser = "USER" // POP3's USER and PASS, IMAP's LOGIN command
	CommandAPOP = "APOP" // POP3's APOP; see the function APOP
)

// Choice is how to log in. With a nil Client the caller sends the protocol's
// own command and asks the password source itself.
type Choice struct {
	Mechanism string      // SASL name, CommandUser or CommandAPOP
	Client    sasl.Client // for one exchange
}

// Choose picks the mechanism and asks the password source. offered holds the
// server's SASL mechanisms in any case, learned under TLS; plainCommand says
// that its clear login command may be used. By "auto" it takes the strongest
// that needs nothing but the password; tokens and APOP are taken by name
// only. Without a secure line it fails before it asks the source, whatever
// the mechanism: what CRAM-MD5 and SCRAM send lets a listener search for the
// password, and one rule is easier to keep than nine.
//
// A Client serves one exchange; its Start may be repeated until the first
// Next, with the same result. Errors are *Error, those of c.Password aside.
func Choose(ctx context.Context, p Policy, c Credentials, offered []string, plainCommand bool) (Choice, error) {
	op := "log in"
	if c.Host != "" {
		op = "log in to " + c.Host
	}
	if !p.Secure {
		return Choice{}, refused(op, "the connection is not encrypted, and no credential is sent without TLS; "+
			`set "tls: implicit" or "tls: starttls", or "allow_cleartext: true" to permit it for this host`)
	}
	name, err := pick(op, p.Auth, c, newOffer(offered), plainCommand)
	if err != nil {
		return Choice{}, err
	}
	if err := checkUser(op, name, c.User); err != nil {
		return Choice{}, err
	}
	if name == CommandUser || name == CommandAPOP {
		return Choice{Mechanism: name}, nil
	}
	client, err := newClient(ctx, op, name, c)
	if err != nil {
		return Choice{}, err
	}
	return Choice{Mechanism: name, Client: bounded{client}}, nil
}

// newClient asks the source, but for EXTERNAL, which needs no secret.
func newClient(ctx context.Context, op, name string, c Credentials) (sasl.Client, error) {
	if name == external {
		return &externalClient{user: c.User}, nil
	}
	password, err := c.Password(ctx)
	if err != nil {
		return nil, err
	}
	if password, err = checked(op, password); err != nil {
		return nil, err
	}
	switch name {
	case scramSHA256, scramSHA1:
		return newSCRAM(name, c.User, password, "")
	case cramMD5:
		return &cramMD5Client{user: c.User, password: hide(password)}, nil
	case plain:
		return &plainClient{user: c.User, password: hide(password)}, nil
	case login:
		return &loginClient{user: c.User, password: hide(password)}, nil
	case xoauth2:
		return newXOAUTH2(c.User, password)
	case oauthBearer:
		return newOAuthBearer(c.User, password, c.Host, c.Port)
	}
	return nil, refused(op, "%s is not a mechanism we have", quote(name))
}

// pick decides the mechanism without looking at any secret.
func pick(op, wanted string, c Credentials, o offer, plainCommand bool) (string, error) {
	wanted = strings.ToUpper(wanted)
	if wanted == "" || wanted == "AUTO" {
		return pickStrongest(op, c, o, plainCommand)
	}
	switch wanted {
	case external:
		if !c.ClientCert {
			return "", refused(op, `"auth: external" needs client_cert and client_key`)
		}
	case CommandAPOP, plain, login, cramMD5, scramSHA1, scramSHA256, xoauth2, oauthBearer:
		if c.Password == nil {
			return "", refused(op, `"auth: %s" needs a password, and none is configured`, strings.ToLower(wanted))
		}
	default:
		return "", refused(op, "auth: %s is not a mechanism we have", quote(wanted))
	}
	switch {
	case wanted == CommandAPOP: // offered by the greeting, which the caller has
		return wanted, nil
	case o.has(wanted):
		return wanted, nil
	case (wanted == plain || wanted == login) && len(o) == 0 && plainCommand:
		return CommandUser, nil
	}
	return "", refused(op, `the server does not offer "auth: %s"; it offers %s`, strings.ToLower(wanted), o.list(plainCommand))
}

func pickStrongest(op string, c Credentials, o offer, plainCommand bool) (string, error) {
	if c.Password == nil {
		switch {
		case !c.ClientCert:
			return "", refused(op, "no password is configured")
		case !o.has(external):
			return "", refused(op, "no password is configured, and the server does not take the client certificate (EXTERNAL) instead; it offers %s", o.list(plainCommand))
		}
		return external, nil
	}
	for _, name := range []string{scramSHA256, scramSHA1, cramMD5, plain, login} {
		if o.has(name) {
			return name, nil
		}
	}
	if plainCommand {
		return CommandUser, nil
	}
	remedy := ""
	for _, name := range []string{oauthBearer, xoauth2} {
		if o.has(name) {
			remedy = `; with an access token from a password command, set "auth: ` + strings.ToLower(name) + `"`
		}
	}
	return "", refused(op, "the server has no login that a password fits; it offers %s%s", o.list(plainCommand), remedy)
}

// offer is the server's SASL mechanisms in upper case.
type offer []string

func newOffer(names []string) offer {
	var o offer
	for _, name := range names {
		if name != "" {
			o = append(o, strings.ToUpper(name))
		}
	}
	return o
}

func (o offer) has(name string) bool { return slices.Contains(o, name) }

// list tells the user what there is. The names are a stranger's text: odd ones
// are quoted and long lists cut.
func (o offer) list(plainCommand bool) string {
	const most = 16
	var names []string
	for i, name := range o {
		if i == most {
			names = append(names, "and more")
			break
		}
		if strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" || len(name) > 20 { // RFC 4422 section 3.1
			name = quote(name)
		}
		names = append(names, name)
	}
	if plainCommand {
		names = append(names, "its plain login command")
	}
	if len(names) == 0 {
		return "no login at all"
	}
	return strings.Join(names, ", ")
}

// checkUser refuses a name that would break out of a command or of a
// mechanism's fields: NUL ends them in PLAIN, ^A in XOAUTH2.
func checkUser(op, mechanism, user string) error {
	if user == "" && mechanism != external {
		return refused(op, "no user is configured")
	}
	if strings.ContainsFunc(user, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return &Error{Op: op, Err: errors.New("the user contains a control character"), permanent: true}
	}
	return nil
}
