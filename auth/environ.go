package auth

import "strings"

// Environ is an environment in the form of os.Environ: "NAME=value" strings.
type Environ []string

// Get returns the value of name, empty when it is not set. As in execve(2)'s
// users, the first entry of a name counts.
func (e Environ) Get(name string) string {
	for _, entry := range e {
		if key, value, ok := strings.Cut(entry, "="); ok && key == name {
			return value
		}
	}
	return ""
}

// forCommand is what a password command inherits: everything, because pass,
// gpg, secret-tool and their like live on HOME, PATH, GNUPGHOME, GPG_TTY,
// DBUS_SESSION_BUS_ADDRESS and many more, and a list of good names would
// break somebody's setup. CREDENTIALS_DIRECTORY stays for commands that
// decrypt with a key from there. Taken out is what speaks of the daemon
// itself: a child that announces readiness, feeds the watchdog or looks for
// sockets in our name would do so wrongly.
func (e Environ) forCommand() []string {
	kept := make([]string, 0, len(e)) // not nil: exec reads nil as "our own"
	for _, entry := range e {
		name, _, _ := strings.Cut(entry, "=")
		switch {
		case name == "NOTIFY_SOCKET":
		case strings.HasPrefix(name, "WATCHDOG_"):
		case strings.HasPrefix(name, "LISTEN_"):
		default:
			kept = append(kept, entry)
		}
	}
	return kept
}
