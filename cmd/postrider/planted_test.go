//go:build linux && (amd64 || arm64)

package main_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// plant is a mistake: in a source file, a text that must be there once is
// replaced.
type plant struct{ file, text, by string }

// planted builds the program with mistakes in it. The sources stay as they are.
func planted(t *testing.T, plants ...plant) string {
	t.Helper()
	dir := t.TempDir()
	replace := map[string]string{}
	for i, p := range plants {
		path, err := filepath.Abs(filepath.Join("../..", p.file))
		if err != nil {
			t.Fatal(err)
		}
		source := path
		if earlier, ok := replace[path]; ok {
			source = earlier
		}
		octets, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(octets, []byte(p.text)); n != 1 {
			t.Fatalf("plant a mistake: %s has %d times, not once, the text %q: the test must follow the code", p.file, n, p.text)
		}
		replace[path] = filepath.Join(dir, strconv.Itoa(i)+".go")
		if err := os.WriteFile(replace[path], bytes.Replace(octets, []byte(p.text), []byte(p.by), 1), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	binary, file := filepath.Join(dir, "postrider"), filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-overlay", file, "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build the program with a mistake: %v\n%s", err, out)
	}
	return binary
}

// The mistakes that the tests of this folder must be able to find.
func noFsyncOfNew() plant {
	return plant{"fetch/deliver.go", "return d.keep(items, b), b.SyncNew()", "return d.keep(items, b), nil"}
}

func noFsyncOfTheFile() plant {
	return plant{"maildir/file.go", "_, err := ignoringEINTR(func() (int, error) { return 0, unix.Fsync(f.fd) })", "var err error"}
}

// removedTooEarly tells the server to remove what was retrieved while it is
// still being delivered.
func removedTooEarly() plant {
	return plant{"fetch/retrieve.go", "	local := r.delivery.finish()", `	var numbers []int
	for i := range p.want {
		numbers = append(numbers, p.want[i].Number)
	}
	_ = src.Dispose(ctx, numbers, func(int, error) {})
	_ = src.Close(ctx)
	local := r.delivery.finish()`}
}

// removedUnrecorded tells the server to remove what is in new/, but not yet
// recorded as delivered.
func removedUnrecorded() []plant {
	return []plant{
		{"fetch/deliver.go", "err := d.line.commit(func(t *ledger.Tx) error { return d.settle(t, p) })", "var err error"},
		{"fetch/line.go", "	if !l.known.Changed() && !l.markChanged && len(l.twins) == 0 {", "	if true {"},
	}
}

// markedTooEarly takes all that is listed for settled before it was retrieved.
func markedTooEarly() plant {
	return plant{"fetch/line.go", "	if err := l.retrieve(ctx, src, p, total); err != nil {", `	l.setMark(Mark{
		Epoch: p.listing.Epoch, Next: p.listing.Next, Told: p.listing.Told, ModSeq: p.listing.ModSeq,
		Counted: time.Now().Unix(), Policy: l.job.policy(),
	})
	if err := l.retrieve(ctx, src, p, total); err != nil {`}
}

// twinTooEarly takes a message for delivered from whatever mailbox when it is
// listed in one.
func twinTooEarly() plant {
	return plant{"fetch/numbered.go", "	if l.isComing(p, it.Twin) {", "	l.noteTwin(it.Twin)\n	if l.isComing(p, it.Twin) {"}
}

// dotUnrecorded gives the final dot away and notes nothing before.
func dotUnrecorded() plant {
	return plant{"outbox/attempt.go", "	return q.commit(m)\n", "	return nil\n"}
}

// dotTooEarly notes it after the reply.
func dotTooEarly() []plant {
	return []plant{
		{"smtp/send.go", "	} else if err = q.Dot(ctx, t.mail, t.to); err != nil {\n		c.fail(err)\n", ""},
		{"smtp/send.go", "	r, given, err := c.dot(ahead)\n", "	r, given, err := c.dot(ahead)\n	if told := q.Dot(ctx, t.mail, t.to); told != nil && err == nil {\n		err = c.fail(told)\n	}\n"},
	}
}

// itemRemovedTooEarly removes an item when its outcome is known and not recorded.
func itemRemovedTooEarly() plant {
	return plant{"outbox/attempt.go", "	q.done = append(q.done, m)\n", "	if r.Fate == Accepted {\n		_ = q.outbox.spool.remove(Active, m.id)\n	}\n	q.done = append(q.done, m)\n"}
}

// stepForgottenTooEarly forgets how far a message has come, and then removes it.
func stepForgottenTooEarly() plant {
	return plant{"outbox/settle.go", "	var gone []string\n	touched :=", "	for _, m := range done {\n		errs = append(errs, o.forget([]string{m.id}))\n	}\n	var gone []string\n	touched :="}
}

// copiedTooEarly files the copy before the final dot.
func copiedTooEarly() []plant {
	return []plant{{"outbox/attempt.go", "	\"golang.org/x/sys/unix\"\n", "	\"golang.org/x/sys/unix\"\n	\"postrider/ledger\"\n"}, {"outbox/attempt.go", "	return q.commit(m)\n", `	early := &copying{id: m.id, kind: "sent", seen: true, write: func(w io.Writer) error { return q.outbox.writeSent(w, m) }}
	note := func(*ledger.Tx) error { m.step.Filed = true; return nil }
	if err := q.outbox.file(q.outbox.rules.named(m.record.Account).Sent, []*copying{early}, note); err != nil {
		return err
	}
	return q.commit(m)
`}}
}

// partForgotten forgets who has got a message that others were refused.
func partForgotten() plant {
	return plant{"outbox/attempt.go", "		case r.Fate == Accepted && err == nil:\n", "		case r.Fate == Accepted && err == nil && errors.Join(r.To...) != nil:\n		case r.Fate == Accepted && err == nil:\n"}
}

// submitUnsynced takes a message for durable that is not.
func submitUnsynced() plant {
	return plant{"outbox/submit.go", "	if err := f.Sync(); err != nil {\n", "	if err := ctx.Err(); err != nil {\n"}
}
