package systemd

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a message may wait for room in the manager's socket. A
// manager that does not read must not hold up the mail.
const patience = time.Second

// Notifier sends messages to the service manager. It holds no connection, so
// that a manager that was executed anew is found again, and may be used by many
// goroutines.
type Notifier struct {
	socket string
}

// NewNotifier takes the address of the manager from NOTIFY_SOCKET. Where that is
// not set, the Notifier says nothing to nobody and all its methods return nil.
func NewNotifier(getenv func(string) string) *Notifier {
	return &Notifier{socket: getenv("NOTIFY_SOCKET")}
}

// Listening reports whether there is a manager to talk to.
func (n *Notifier) Listening() bool { return n.socket != "" }

// Ready tells that start or reload is over, with a status for people; see Status.
func (n *Notifier) Ready(status string) error { return n.send("READY=1", statusLine(status)) }

// Reloading tells that the configuration is being read again; Ready must follow,
// also after a reload that failed. The time in it tells the manager, under
// Type=notify-reload, that this is the reload that it asked for and no earlier one.
func (n *Notifier) Reloading(status string) error {
	if !n.Listening() {
		return nil
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("read monotonic clock: %w", err)
	}
	return n.send("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(now.Nano()/1000, 10), statusLine(status))
}

// Stopping tells that the daemon ends.
func (n *Notifier) Stopping(status string) error { return n.send("STOPPING=1", statusLine(status)) }

// Status tells people who ask for the service's state how things are, in one
// line: what is no text is escaped, and what is too long cut off. An empty
// status changes nothing.
func (n *Notifier) Status(status string) error { return n.send(statusLine(status)) }

// Watchdog tells that the daemon lives. It has to come more often than
// WatchdogInterval; see Watch.
func (n *Notifier) Watchdog() error { return n.send("WATCHDOG=1") }

// ExtendTimeout asks for d more, from now on, to start, to reload or to stop,
// whichever is under way. It is for work whose length depends on the disk.
func (n *Notifier) ExtendTimeout(d time.Duration) error {
	return n.send("EXTEND_TIMEOUT_USEC=" + strconv.FormatInt(max(d.Microseconds(), 0), 10))
}

// Errno tells which error of the system ended the daemon.
func (n *Notifier) Errno(errno syscall.Errno) error {
	return n.send("ERRNO=" + strconv.Itoa(int(errno)))
}

// send sends the lines that are not empty as one datagram, which the manager
// takes or leaves as a whole.
func (n *Notifier) send(lines ...string) error {
	message := ""
	for _, line := range lines {
		if line != "" {
			message += line + "\n"
		}
	}
	if !n.Listening() || message == "" {
		return nil
	}
	if err := n.write(message); err != nil {
		return fmt.Errorf("notify service manager: %w", err)
	}
	return nil
}

func (n *Notifier) write(message string) error {
	// A manager beyond the machine (vsock:) sends no service of ours.
	if !strings.HasPrefix(n.socket, "/") && !strings.HasPrefix(n.socket, "@") {
		return fmt.Errorf("NOTIFY_SOCKET is %q, neither a path nor an abstract name", n.socket)
	}
	// Package net takes a name with @ for an abstract one, and sets
	// SOCK_CLOEXEC, so that no hook inherits the socket.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err = conn.Write([]byte(message))
	return err
}
