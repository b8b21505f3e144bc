// Package configs reads the one YAML file that tells postrider what to do, and checks it before anything is started.
//
// The flow, for a reader of the code: [Find] says which file, [Load] reads it, decode.go turns YAML into keys that know their line, schema.go,
// accounts.go and servers.go say which keys there are and what they mean, and files.go looks at the modes and at the files that are named. Every mistake is
// collected, so that the user mends the file in one go; the result is a [Config] with every default filled in, or an [*Errors].
//
// One rule keeps secrets out of messages: no message quotes a value from the file. It names the line and the key, and what would be right.
package configs

import (
	"log/slog"
	"time"
)

// Config is a whole configuration, checked, with every default filled in. Nothing in it is shared with the caller of [Parse] or changed later.
type Config struct {
	File      string   // as it was named to Load, for messages and for reading it again
	Maildir   string   // the root of every folder; absolute
	Log       Log      //
	Metrics   string   // host:port to serve metrics on; "" for none
	OnNewMail []string // argv to run after new mail; empty for none
	Outbox    Outbox
	Accounts  []Account // in the order of the file
}

// Log says what is logged and in which form.
type Log struct {
	Level  slog.Level
	Format string // auto, text or json
}

// Outbox is the drop directory and what happens to the messages in it.
type Outbox struct {
	Off       bool          // nothing is sent; the other fields are then without meaning
	Path      string        // absolute; never inside the Maildir root
	RetryFor  time.Duration // the lifetime of a message that cannot be sent
	Hold      time.Duration // how long a message rests before the first attempt
	Uncertain string        // hold or resend: what to do when the line broke after the final dot
}

// Account is one configured login and the servers it is for: IMAP or POP3 or neither, and SMTP or not, but at least one.
type Account struct {
	Name       string
	Address    string   // "" only where User was given
	Aliases    []string // further From addresses; may be *@DOMAIN
	User       string
	Password   Secret // none only where TLS client certificates log in
	IMAP, POP3 *Mailbox
	SMTP       *Submission
}

// Server is how a server is reached and logged in to.
type Server struct {
	Host                  string // a name or an IP address
	Port                  int
	TLS                   string     // implicit, starttls or none
	CAFile                string     // "" for the roots of the system; absolute
	Pins                  [][32]byte // SHA-256 of the leaf's SubjectPublicKeyInfo; any of them will do; none means no pinning
	ClientCert, ClientKey string     // both or neither; absolute
	Auth                  string     // auto, or a SASL mechanism in small letters; for POP3 also apop
	AllowCleartext        bool       // a password may cross a line without TLS to this host
	Timeout               time.Duration
}

// Mailbox is a server that mail is received from. POP3 has one mailbox: Folders is then INBOX, Push false and Connections 1.
type Mailbox struct {
	Server
	Folders     []string // IMAP LIST patterns; a leading ! excludes
	DeliverTo   string   // the folder below the root, with {account} and {folder}
	Schedule    Schedule
	Push        bool // IDLE or NOTIFY besides the schedule
	OnServer    Disposal
	MaxSize     int64 // octets; larger messages stay on the server; 0 for no limit
	Connections int   // at most so many at once
}

// Submission is a server that mail is sent through.
type Submission struct {
	Server
	Sent string // the folder for a copy of what was sent, with {account}; "" for none
}

// Schedule says when a mailbox is polled: exactly one of the fields is set.
type Schedule struct {
	Manual bool          // only when asked
	Every  time.Duration // at least a second
	Cron   string        // five fields or a descriptor that robfig/cron/v3's standard parser takes
}

// Disposal says what becomes of a message on the server once it is delivered here.
type Disposal struct {
	Action Action
	After  time.Duration // Delete: this long after delivery; 0 for at once
	Folder string        // Move: where to, a mailbox on the server
}

// Action is what is done to a delivered message on the server.
type Action int

// Keep leaves it alone, Seen sets the \Seen flag, Delete removes it, Move files it in another mailbox.
const (
	Keep Action = iota
	Seen
	Delete
	Move
)

// String is the word of the configuration file.
func (a Action) String() string {
	switch a {
	case Keep:
		return "keep"
	case Seen:
		return "seen"
	case Delete:
		return "delete"
	case Move:
		return "move"
	}
	return "unknown"
}
