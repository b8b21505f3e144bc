package auth

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// readFile reads the password from a file that only its owner can read or
// change. The checks are made on the open file, so that what was checked is
// what is read.
func readFile(path string) (string, error) {
	op := "read password file " + path
	f, err := openRegular(op, path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := checkPrivate(op, path, f); err != nil {
		return "", err
	}
	return readPassword(op, f)
}

// readCredential reads a credential that the service manager has put into its
// directory for us. The manager guards that directory, and the mode differs
// between its versions, so the mode is not looked at.
func readCredential(name string, env Environ) (string, error) {
	op := "read credential " + quote(name)
	if strings.Contains(name, "/") || strings.Contains(name, "..") {
		return "", refused(op, `a credential's name has no "/" and no ".."`)
	}
	dir := env.Get("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return "", refused(op, "$CREDENTIALS_DIRECTORY is not set; add LoadCredential=%s:PATH to the systemd unit", name)
	}
	f, err := openRegular(op, filepath.Join(dir, name))
	if err != nil {
		return "", err
	}
	defer f.Close()
	return readPassword(op, f)
}

// openRegular opens a regular file. Without O_NONBLOCK the opening of a FIFO
// would wait for its writer for ever.
func openRegular(op, path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, fileError(op, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = refused(op, "it is not a regular file")
	} else if err != nil {
		err = fileError(op, err)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// checkPrivate refuses a file that somebody else can read or replace.
func checkPrivate(op, path string, f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return fileError(op, err)
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	if err := checkOwnerAndMode(op, path, owner, os.Geteuid(), info.Mode()); err != nil {
		return err
	}
	// A link may lead elsewhere: both its own directory and the target's must
	// be closed to others.
	dirs := []string{filepath.Dir(path)}
	if real, err := filepath.EvalSymlinks(path); err == nil && filepath.Dir(real) != dirs[0] {
		dirs = append(dirs, filepath.Dir(real))
	}
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil {
			return fileError(op, err)
		}
		// With the sticky bit, as on /tmp, others cannot replace our file.
		if info.Mode()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0 {
			return refused(op, "anybody can replace it, for its directory %s is writable by others; run: chmod o-w %s", dir, dir)
		}
	}
	return nil
}

func checkOwnerAndMode(op, path string, owner uint32, euid int, mode fs.FileMode) error {
	if owner != 0 && int64(owner) != int64(euid) {
		return refused(op, "it belongs to another user (uid %d); run: chown %d %s", owner, euid, path)
	}
	if mode.Perm()&0o077 != 0 {
		return refused(op, "others can get at it (mode %04o); run: chmod 600 %s", mode.Perm(), path)
	}
	return nil
}

// readPassword reads a file's only line, without its one newline.
func readPassword(op string, r io.Reader) (string, error) {
	content, err := io.ReadAll(io.LimitReader(r, maxPassword+1))
	if err != nil {
		return "", fileError(op, err)
	}
	if len(content) > maxPassword {
		return "", &Error{Op: op, Err: errTooLong, permanent: true}
	}
	return checked(op, string(trimNewline(content)))
}

// trimNewline takes off one LF or CRLF.
func trimNewline(text []byte) []byte {
	line, found := bytes.CutSuffix(text, []byte("\n"))
	if found {
		line = bytes.TrimSuffix(line, []byte("\r"))
	}
	return line
}

// fileError drops the path that op already names. What is missing or closed
// to us stays so until somebody acts; the rest may be a disk's bad moment.
func fileError(op string, err error) error {
	if inner := (*fs.PathError)(nil); errors.As(err, &inner) {
		err = inner.Err
	}
	lasting := errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
	return &Error{Op: op, Err: err, permanent: lasting}
}
