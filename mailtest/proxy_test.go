package mailtest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// echo starts a server that sends back what it gets.
func echo(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(func() { _ = listener.Close(); running.Wait() })
	return listener.Addr().String()
}

func startProxy(t *testing.T, target string, o ProxyOptions) (*Proxy, net.Conn) {
	t.Helper()
	p, err := NewProxy(target, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { _ = conn.Close() })
	return p, conn
}

func TestProxyDelay(t *testing.T) {
	const delay = 40 * time.Millisecond
	start := time.Now()
	_, conn := startProxy(t, echo(t), ProxyOptions{Delay: delay})
	octet := []byte{'x'}
	for trip := 1; trip <= 3; trip++ {
		if _, err := conn.Write(octet); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, octet); err != nil {
			t.Fatal(err)
		}
		// One round trip more than were made: to open the connection.
		want := time.Duration(trip+1) * 2 * delay
		if took := time.Since(start); took < want || took > want+want/2 {
			t.Errorf("%d round trips took %v, want %v", trip, took, want)
		}
	}
}

func TestProxyDoesNotThrottle(t *testing.T) {
	const delay = 100 * time.Millisecond
	_, conn := startProxy(t, echo(t), ProxyOptions{Delay: delay})
	sent := bytes.Repeat([]byte("0123456789abcde\n"), 1<<18) // 4 MiB
	start := time.Now()
	var writing sync.WaitGroup
	writing.Go(func() {
		_, _ = conn.Write(sent)
		_ = conn.(*net.TCPConn).CloseWrite()
	})
	got, err := io.ReadAll(conn)
	writing.Wait()
	if err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("%d octets came back: %v", len(got), err)
	}
	// One chunk of 64 KiB a round trip would take 13 s.
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("4 MiB took %v", took)
	}
}

func TestProxyCutsAtEveryOctet(t *testing.T) {
	target := echo(t)
	for _, dir := range []Direction{Up, Down} {
		for n := range len(proxied) + 2 {
			for _, piece := range []int{1, 4, len(proxied)} {
				cutAt(t, target, dir, n, piece)
			}
		}
	}
}

const proxied = "0123456789"

// cutAt sends proxied through a line that is cut after n octets, piece by
// piece, each when the one before has come back.
func cutAt(t *testing.T, target string, dir Direction, n, piece int) {
	t.Helper()
	p, conn := startProxy(t, target, ProxyOptions{CutAfter: func(_ int, d Direction) int64 {
		if d == dir {
			return int64(n)
		}
		return -1
	}})
	defer func() { _ = p.Close() }()
	var got []byte
	for rest := proxied; rest != ""; {
		octets := []byte(rest[:min(piece, len(rest))])
		rest = rest[len(octets):]
		if _, err := conn.Write(octets); err != nil {
			break
		}
		back, err := io.ReadFull(conn, octets)
		got = append(got, octets[:back]...)
		if err != nil {
			break
		}
	}
	_ = conn.(*net.TCPConn).CloseWrite()
	rest, err := io.ReadAll(conn)
	got = append(got, rest...)
	want := min(n, len(proxied))
	if dir == Down && (err != nil || string(got) != proxied[:want]) {
		t.Fatalf("%v cut at %d: got %q, %v", dir, n, got, err)
	}
	if passed := p.Octets(1, dir); passed != int64(want) {
		t.Fatalf("%v cut at %d: %d octets passed", dir, n, passed)
	}
}

func TestProxyCutsOneConnection(t *testing.T) {
	p, first := startProxy(t, echo(t), ProxyOptions{CutAfter: func(conn int, dir Direction) int64 {
		if conn == 2 && dir == Down {
			return 1
		}
		return -1
	}})
	second, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Close() }()
	_ = second.SetDeadline(time.Now().Add(20 * time.Second))
	for conn, want := range map[net.Conn]string{first: "abc", second: "a"} {
		_, _ = io.WriteString(conn, "abc")
		_ = conn.(*net.TCPConn).CloseWrite()
		if got, _ := io.ReadAll(conn); string(got) != want {
			t.Errorf("%q came back, want %q", got, want)
		}
	}
	if n := p.Connections(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

func TestProxyFreeze(t *testing.T) {
	p, conn := startProxy(t, echo(t), ProxyOptions{FreezeAfter: func(_ int, dir Direction) int64 {
		if dir == Down {
			return 3
		}
		return -1
	}})
	_, _ = io.WriteString(conn, "abcdef")
	got := make([]byte, 10)
	if n, err := io.ReadFull(conn, got[:3]); n != 3 {
		t.Fatal(err)
	}
	<-p.line(1).frozen // the third octet is here a moment before
	_, _ = io.WriteString(conn, "ghi")
	_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	n, err := conn.Read(got)
	var timeout net.Error
	if n != 0 || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("after the freeze: %d octets, %v", n, err)
	}
	if n := p.Octets(1, Up); n != 6 {
		t.Errorf("%d octets went up, want the 6 from before the freeze", n)
	}
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	p.Cut()
	if rest, err := io.ReadAll(conn); len(rest) > 0 || err != nil {
		t.Errorf("after the cut: %q, %v", rest, err)
	}
}

// line returns the line of a connection.
func (p *Proxy) line(conn int) *proxyLine {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lines[conn]
}

func TestProxyFreezeNow(t *testing.T) {
	p, conn := startProxy(t, echo(t), ProxyOptions{})
	octet := []byte{'x'}
	_, _ = conn.Write(octet)
	if _, err := io.ReadFull(conn, octet); err != nil {
		t.Fatal(err)
	}
	p.Freeze()
	_, _ = conn.Write(octet)
	_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := conn.Read(octet); err == nil {
		t.Errorf("%d octets came through a frozen line", n)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func TestProxyWithoutServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := listener.Addr().String()
	_ = listener.Close()
	_, conn := startProxy(t, target, ProxyOptions{})
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d octets from nobody", n)
	}
}

// A session through a slow line pays one round trip for each flight.
func TestProxyBeforePOP3(t *testing.T) {
	s := startPOP3(t, POP3Options{})
	p, conn := startProxy(t, s.Addr(), ProxyOptions{Delay: 10 * time.Millisecond})
	start := time.Now()
	greeting := make([]byte, len("+OK mailtest ready\r\n"))
	if _, err := io.ReadFull(conn, greeting); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < 40*time.Millisecond {
		t.Errorf("the greeting came after %v, want two round trips: one to open the line", took)
	}
	if _, err := io.WriteString(conn, "USER ada\r\nPASS secret\r\nSTAT\r\nQUIT\r\n"); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	got = append(greeting, got...)
	if err != nil || bytes.Count(got, []byte("+OK")) != 5 {
		t.Fatalf("%q, %v", got, err)
	}
	if took := time.Since(start); took < 60*time.Millisecond || took > 200*time.Millisecond {
		t.Errorf("the session took %v, want about 60 ms", took)
	}
	if p.Octets(1, Down) != int64(len(got)) {
		t.Errorf("%d octets passed down, %d came", p.Octets(1, Down), len(got))
	}
}
