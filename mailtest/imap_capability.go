package mailtest

import (
	"slices"
	"strings"
)

// defaultCapabilities is all that the server can do and every client may ask for.
func defaultCapabilities() []string {
	return strings.Fields("IMAP4rev1 SASL-IR LITERAL+ ID ENABLE UIDPLUS MOVE ESEARCH LIST-EXTENDED LIST-STATUS" +
		" SPECIAL-USE CHILDREN NAMESPACE CONDSTORE QRESYNC COMPRESS=DEFLATE IDLE NOTIFY UNSELECT STATUS=SIZE UTF8=ACCEPT")
}

// extensions are the capabilities that do not depend on the session.
func (s *IMAP) extensions() []string {
	list := s.o.Capabilities
	if list == nil {
		list = defaultCapabilities()
	}
	list = slices.Clone(list)
	for _, name := range s.o.Extra {
		if !hasFlag(list, name) {
			list = append(list, name)
		}
	}
	return slices.DeleteFunc(list, func(name string) bool { return hasFlag(s.o.Without, name) })
}

// lists says whether a capability is offered to those who are logged in.
func (s *IMAP) lists(name string) bool { return hasFlag(s.extensions(), name) }

// has says whether the session may use an extension.
func (s *imapSession) has(name string) bool { return s.server.lists(name) }

// capabilities is the answer to CAPABILITY (RFC 9051 section 7.2.2).
func (s *imapSession) capabilities() string {
	o := s.server.o
	list := s.server.extensions()
	if s.user == "" && o.Quirks.CapabilityAfterLogin {
		list = []string{"IMAP4rev1"}
	}
	if s.user == "" {
		if o.TLS != nil && !s.secure {
			list = append(list, "STARTTLS")
		}
		if o.NoLOGIN {
			list = append(list, "LOGINDISABLED")
		}
		for _, m := range o.Mechanisms {
			list = append(list, "AUTH="+m)
		}
	}
	return strings.Join(list, " ")
}

// capabilityCode is the list as a response code, with a space behind it.
func (s *imapSession) capabilityCode() string {
	if s.server.o.NoCapabilityCode {
		return ""
	}
	return "[CAPABILITY " + s.capabilities() + "] "
}

// required is the capability without which a command does not exist.
func required(verb string) string {
	switch verb {
	case "ID", "ENABLE", "NAMESPACE", "IDLE", "NOTIFY", "UNSELECT", "MOVE":
		return verb
	case "UID MOVE":
		return "MOVE"
	case "UID EXPUNGE":
		return "UIDPLUS"
	case "COMPRESS":
		return "COMPRESS=DEFLATE"
	}
	return ""
}
