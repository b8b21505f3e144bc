package configs

import (
	"path/filepath"
	"strings"
	"unicode"
)

// Env is what Parse knows of the world around the file.
type Env struct {
	Getenv func(string) string // for $VAR in paths; nil: nothing is set
	Home   string              // what ~ stands for; "" or relative: not known
	Dir    string              // what relative paths are relative to: the directory of the file
}

// getenv is Getenv, or nothing.
func (e Env) getenv(name string) string {
	if e.Getenv == nil {
		return ""
	}
	return e.Getenv(name)
}

// expand turns a path as written into a clean absolute one.
func (e Env) expand(s string) (string, error) {
	if s == "" {
		return "", wrong("is empty", "write a path")
	}
	if err := controls(s); err != nil {
		return "", err
	}
	head := ""
	if s == "~" || strings.HasPrefix(s, "~/") {
		if !filepath.IsAbs(e.Home) {
			return "", wrong("begins with ~, but no home directory is known", "set HOME or write the whole path")
		}
		head, s = e.Home, s[1:]
	} else if s[0] == '~' {
		return "", wrong("names another user's home", "write the whole path")
	}
	tail, err := e.variables(s)
	if err != nil {
		return "", err
	}
	path := head + tail
	if !filepath.IsAbs(path) {
		path = filepath.Join(e.Dir, path)
	}
	return filepath.Clean(path), nil
}

// variables puts in $NAME and ${NAME}. One that is unset or empty is an error, because what is left would be another path and often a real one: "$MAIL/x" is
// not "/x". Any other $ stands for itself.
func (e Env) variables(s string) (string, error) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "$")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		name, rest := after[:len(after)-len(strings.TrimLeftFunc(after, inName))], ""
		if strings.HasPrefix(after, "{") {
			var closed bool
			if name, rest, closed = strings.Cut(after[1:], "}"); !closed || !isName(name) {
				return "", wrong("has a ${ that names no variable", "write ${NAME}")
			}
		} else if isName(name) {
			rest = after[len(name):]
		} else {
			b.WriteByte('$')
			s = after
			continue
		}
		value := e.getenv(name)
		if value == "" {
			return "", wrong("has a variable that is not set", "set it or write the whole path")
		}
		b.WriteString(value)
		s = rest
	}
}

// inName says that r may be part of a variable's name.
func inName(r rune) bool {
	return r == '_' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
}

// isName says that s is the name of an environment variable.
func isName(s string) bool {
	return s != "" && (s[0] < '0' || s[0] > '9') && strings.TrimLeftFunc(s, inName) == ""
}

// controls refuses control characters: in a command they start another one, and in a name nobody sees them.
func controls(s string) error {
	if strings.ContainsFunc(s, unicode.IsControl) {
		return wrong("has a control character", "take it out")
	}
	return nil
}

// within says that path is root or lies below it; both are clean and absolute.
func within(root, path string) bool {
	rel, err := filepath.Rel(root, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

// parseDeliverTo takes the pattern of a folder below the Maildir root, with {account} and {folder}.
func parseDeliverTo(s string) (string, error) {
	return s, checkFolder(s, "{account}", "{folder}")
}

// parseSent takes the pattern of the folder for what was sent; "" is none. There is no {folder}: what is sent comes from no mailbox.
func parseSent(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	return s, checkFolder(s, "{account}")
}

// checkFolder refuses a pattern that could leave the root, hide a folder, or fall into the parts of a Maildir.
func checkFolder(s string, placeholders ...string) error {
	if err := controls(s); err != nil {
		return err
	}
	bare := s
	for _, p := range placeholders {
		bare = strings.ReplaceAll(bare, p, "x")
	}
	if strings.ContainsAny(bare, "{}") {
		return wrong("has a placeholder that is not known here", "known: "+strings.Join(placeholders, ", "))
	}
	for part := range strings.SplitSeq(bare, "/") {
		switch {
		case part == "":
			return wrong("has an empty part, or begins or ends with /", "write it like {account}/INBOX: it lies below the maildir")
		case part[0] == '.':
			return wrong("has a part that begins with a dot", "rename that part")
		case reserved(part):
			return wrong("has a part named tmp, new or cur", "these belong to the inside of a Maildir: rename that part")
		case len(part) > 200:
			return wrong("has a part longer than 200 octets", "shorten it")
		}
	}
	return nil
}

// reserved says that a folder of this name would be taken for the inside of a Maildir.
func reserved(name string) bool {
	switch strings.ToLower(name) {
	case "tmp", "new", "cur":
		return true
	}
	return false
}
