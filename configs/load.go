package configs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"syscall"
)

// Load reads the configuration at path and checks everything that can be checked without a network: the text, the mode of the file if it holds a password
// or could be changed by others, and the certificates, keys and password files that it names. The error is an *Errors with all that is wrong.
func Load(path string) (*Config, error) {
	whole, err := filepath.Abs(path)
	if err != nil {
		return nil, alone(Error{File: path, Problem: "find the directory of the configuration: " + cause(err)})
	}
	data, info, err := slurp(whole, maxFile)
	if err != nil {
		return nil, alone(Error{File: path, Problem: "read the configuration: " + cause(err)})
	}
	c, d, err := parse(path, data, Env{Getenv: os.Getenv, Home: home(), Dir: filepath.Dir(whole)})
	if err != nil {
		return nil, err
	}
	d.checkMode(whole, info)
	d.checkNamed()
	d.checkApart(c)
	if err := collected(d.errs); err != nil {
		return nil, err
	}
	return c, nil
}

// home is the user's home directory: $HOME as everywhere, or the system's record of it, because a service may be started without.
func home() string {
	if dir := os.Getenv("HOME"); dir != "" {
		return dir
	}
	if u, err := user.Current(); err == nil {
		return u.HomeDir
	}
	return ""
}

// slurp reads a regular file of at most limit octets. It does not wait for the other end of a FIFO.
func slurp(path string, limit int64) ([]byte, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, errors.New("not a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("larger than %d octets", limit)
	}
	return data, info, err
}

// cause is what the system said, without the path that the message names already.
func cause(err error) string {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err.Error()
	}
	return err.Error()
}

// checkMode refuses a file that others may change, since it names commands to run, and one with a password that others may read or put another file in
// the place of. A symbolic link counts with the directory of either end.
func (d *document) checkMode(path string, info fs.FileInfo) {
	mode := info.Mode()
	if mode&0o002 != 0 {
		d.report(Error{Line: 1, Problem: "anyone may write to this file, and it names commands to run", Remedy: "chmod o-w " + path})
	}
	if len(d.literals) == 0 {
		return
	}
	at := d.literals[0]
	if mode&0o077 != 0 {
		at.fail("stands in a file that others may read or write", "chmod 600 "+path)
	}
	dirs := []string{filepath.Dir(path)}
	if real, err := filepath.EvalSymlinks(path); err == nil && filepath.Dir(real) != dirs[0] {
		dirs = append(dirs, filepath.Dir(real))
	}
	for _, dir := range dirs {
		if info, err := os.Stat(dir); err == nil && replaceable(info.Mode()) {
			at.fail("stands in a file that others may replace", "chmod go-w "+dir)
		}
	}
}

// replaceable says that others may rename and remove what is in a directory of this mode; the sticky bit keeps them from it.
func replaceable(mode fs.FileMode) bool {
	return mode&0o022 != 0 && mode&fs.ModeSticky == 0
}

// checkApart is the check for an outbox inside the Maildir once more, by the real names of the directories as far as they exist.
func (d *document) checkApart(c *Config) {
	if len(d.errs) > 0 || c.Outbox.Off {
		return
	}
	root, err := filepath.EvalSymlinks(c.Maildir)
	if err != nil {
		return
	}
	if outbox, err := filepath.EvalSymlinks(c.Outbox.Path); err == nil {
		real := *c
		real.Maildir, real.Outbox.Path = root, outbox
		d.apart(&real)
	}
}
