package outbox

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"postrider/maildir"
)

// failedName is the directory in the outbox of what cannot be sent.
const failedName = "failed"

const whySuffix = ".why.txt"

// maxTries bounds the names that are tried for one file in failed/.
const maxTries = 10_000

// giveBack moves a message that cannot be sent into failed/, beside a text that
// says why, and removes its item. Done again after a crash it comes to the same
// end: a message that is not there any more is in failed/ already.
func (o *Outbox) giveBack(state State, id, file, name, more, why string) error {
	path := o.spool.path(state, id, file)
	switch _, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return o.spool.remove(state, id)
	case err != nil:
		return fmt.Errorf("move %s to %s: %w", name, failedName, err)
	}
	failed := filepath.Join(o.dir, failedName)
	if err := os.Mkdir(failed, 0o700); err == nil {
		if err := maildir.SyncDir(o.dir); err != nil {
			return fmt.Errorf("make %s: %w", failed, err)
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make %s: %w", failed, err)
	}
	name = shorten(name, unix.NAME_MAX-len(whySuffix)-len(fmt.Sprint(".", maxTries)))
	o.failing.Lock()
	defer o.failing.Unlock()
	err := fs.ErrExist
	for n := 1; errors.Is(err, fs.ErrExist) && n <= maxTries; n++ {
		to := name
		if n > 1 {
			to = fmt.Sprintf("%s.%d", name, n)
		}
		err = moveFailed(path, failed, id, to, whyText(to, more, why))
	}
	if err == nil {
		err = maildir.SyncDir(failed)
	}
	if err != nil {
		return fmt.Errorf("move %s to %s: %w", name, failed, err)
	}
	return o.spool.remove(state, id)
}

// moveFailed moves a message to failed/TO. The text stands there first: a
// message without one would leave the user with a riddle.
func moveFailed(path, failed, id, to string, text []byte) error {
	if _, err := os.Lstat(filepath.Join(failed, to)); err == nil {
		return fs.ErrExist
	}
	draft, why := filepath.Join(failed, "."+id+".tmp"), filepath.Join(failed, to+whySuffix)
	if err := writeOver(draft, text); err != nil {
		return err
	}
	err := maildir.RenameNoReplace(unix.AT_FDCWD, draft, unix.AT_FDCWD, why)
	if err != nil {
		err = errors.Join(err, os.Remove(draft))
		// A crash may have left the text before the message was moved.
		if there, _ := os.ReadFile(why); !errors.Is(err, fs.ErrExist) || !bytes.Equal(there, text) {
			return err
		}
	}
	if err := maildir.RenameNoReplace(unix.AT_FDCWD, path, unix.AT_FDCWD, filepath.Join(failed, to)); err != nil {
		return errors.Join(err, os.Remove(why))
	}
	return nil
}

// shorten cuts a file's name to so many octets, between two characters.
func shorten(name string, octets int) string {
	if len(name) <= octets {
		return name
	}
	for octets > 0 && !utf8.RuneStart(name[octets]) {
		octets--
	}
	return name[:octets]
}

func whyText(name, more, why string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "The message in the file %q was not sent:\n\n  %s\n", name, why)
	if more != "" {
		fmt.Fprintf(&b, "\n%s\n", more)
	}
	b.WriteString("\nTo send it, mend what is wrong and move the file back into the outbox.\n")
	return b.Bytes()
}

// outcomes lists the recipients of a message: also those who have it, as a file
// that is moved back would go to them again.
func outcomes(r *Record, dot []int) string {
	doubt := map[int]bool{}
	for _, i := range dot {
		doubt[i] = true
	}
	var b strings.Builder
	for i, to := range r.To {
		what := oneLine(to.Reply)
		switch {
		case to.Outcome == Sent:
			what = "has got it: take the address out before you send it again"
		case to.Outcome == Waiting && doubt[i]:
			what = "may have got it: the line broke when it was sent"
		case to.Outcome == Waiting:
			what = "has not got it"
		}
		fmt.Fprintf(&b, "  %s: %s\n", to.Address, what)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// writeOver writes a file of our own and puts it on disk.
func writeOver(path string, octets []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(octets)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
