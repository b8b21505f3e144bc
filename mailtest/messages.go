package mailtest

import (
	"embed"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Message is one message as a file holds it, most with LF at the line ends:
// [Wire] makes of it what a server sends.
type Message struct {
	Name   string
	Octets []byte
}

//go:embed testdata/*.eml
var testdata embed.FS

// Embedded returns the messages of testdata, ordered by name. README.md there
// says what each is for. The octets are the caller's own.
func Embedded() []Message {
	messages, err := readMessages(testdata, "testdata")
	if err != nil {
		panic("read embedded messages: " + err.Error()) // the compiler has put them there
	}
	return messages
}

// Corpus returns the largest set of messages at hand: the folder named by
// $POSTRIDER_CORPUS, else ../shared/corpus beside the module, else Embedded.
// A folder that was named and has no messages fails the test.
func Corpus(tb testing.TB) []Message {
	tb.Helper()
	dir, named := os.LookupEnv("POSTRIDER_CORPUS")
	if !named || dir == "" {
		root, err := moduleRoot()
		if err != nil {
			return Embedded()
		}
		dir = filepath.Join(root, "..", "shared", "corpus")
		if _, err := os.Stat(dir); err != nil {
			return Embedded()
		}
	}
	messages, err := readMessages(os.DirFS(dir), ".")
	if err != nil {
		tb.Fatalf("read corpus %s: %v", dir, err)
	}
	if len(messages) == 0 {
		tb.Fatalf("read corpus %s: no *.eml file in it", dir)
	}
	return messages
}

// readMessages reads every *.eml file in dir, in the order of their names.
func readMessages(files fs.FS, dir string) ([]Message, error) {
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		return nil, err
	}
	var messages []Message
	for _, entry := range entries {
		if entry.IsDir() || !strings.HasSuffix(entry.Name(), ".eml") {
			continue
		}
		name := entry.Name()
		if dir != "." {
			name = dir + "/" + name
		}
		octets, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		messages = append(messages, Message{Name: strings.TrimSuffix(entry.Name(), ".eml"), Octets: octets})
	}
	return messages, nil
}

// moduleRoot is the folder of go.mod, at or above the working directory.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		above := filepath.Dir(dir)
		if above == dir {
			return "", os.ErrNotExist
		}
		dir = above
	}
}
