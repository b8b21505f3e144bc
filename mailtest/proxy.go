package mailtest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Direction is the way that octets go through a [Proxy].
type Direction int

const (
	Up   Direction = iota // client to server
	Down                  // server to client
)

// String is "up" or "down".
func (d Direction) String() string {
	if d == Up {
		return "up"
	}
	return "down"
}

// ProxyOptions are the faults of a line.
type ProxyOptions struct {
	// Delay is how long an octet is on its way, so that the round trip is
	// twice that. It keeps the order and does not limit the rate; a connection
	// takes one round trip to open, as it would with TCP.
	Delay time.Duration

	// CutAfter gives the number of octets after which connection conn (from 1)
	// is cut: exactly so many pass in direction dir, then both ends see the
	// end of the line (FIN). Negative: never.
	CutAfter func(conn int, dir Direction) int64

	// FreezeAfter is like CutAfter, but the line stays open and goes silent in
	// both directions.
	FreezeAfter func(conn int, dir Direction) int64
}

// Proxy is a TCP line between a client and a server on loopback, with faults.
// Its methods may be called from any goroutine.
type Proxy struct {
	o        ProxyOptions
	target   string
	listener net.Listener
	done     chan struct{}
	running  sync.WaitGroup

	mu     sync.Mutex // guards what follows
	closed bool
	lines  map[int]*proxyLine
	count  int
}

// NewProxy listens on a free port of 127.0.0.1 and connects each client to
// target, until Close.
func NewProxy(target string, o ProxyOptions) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start proxy: %w", err)
	}
	p := &Proxy{o: o, target: target, listener: listener, done: make(chan struct{}), lines: make(map[int]*proxyLine)}
	p.running.Add(1)
	go func() {
		defer p.running.Done()
		p.accept()
	}()
	return p, nil
}

// Addr is the proxy's address, host and port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Port is the proxy's port.
func (p *Proxy) Port() int { return p.listener.Addr().(*net.TCPAddr).Port }

// Connections is the number of clients that have come.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

// Octets is how many have been passed on in one direction of a connection.
func (p *Proxy) Octets(conn int, dir Direction) int64 {
	p.mu.Lock()
	line := p.lines[conn]
	p.mu.Unlock()
	if line == nil {
		return 0
	}
	return line.octets(dir)
}

// Cut ends all connections now.
func (p *Proxy) Cut() { p.each((*proxyLine).cut) }

// Freeze makes all connections of now silent; they stay open.
func (p *Proxy) Freeze() { p.each((*proxyLine).freeze) }

func (p *Proxy) each(f func(*proxyLine)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.lines {
		f(line)
	}
}

// Close ends all connections, stops listening, and waits for all goroutines.
func (p *Proxy) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		p.running.Wait()
		return nil
	}
	p.closed = true
	close(p.done)
	err := p.listener.Close()
	p.mu.Unlock()
	p.running.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			_ = client.Close()
			return
		}
		p.count++
		line := newProxyLine(p, p.count, client.(*net.TCPConn))
		p.lines[p.count] = line
		p.running.Add(1)
		p.mu.Unlock()
		go func() {
			defer p.running.Done()
			line.run()
		}()
	}
}

// proxyLine is one connection through the proxy.
type proxyLine struct {
	p      *Proxy
	number int
	client *net.TCPConn
	opened time.Time

	mu     sync.Mutex // guards passed
	passed [2]int64

	cutting  sync.Once
	freezing sync.Once
	severed  chan struct{} // closed by cut
	frozen   chan struct{} // closed by freeze
}

func newProxyLine(p *Proxy, number int, client *net.TCPConn) *proxyLine {
	return &proxyLine{p: p, number: number, client: client, opened: time.Now(),
		severed: make(chan struct{}), frozen: make(chan struct{})}
}

func (l *proxyLine) cut()    { l.cutting.Do(func() { close(l.severed) }) }
func (l *proxyLine) freeze() { l.freezing.Do(func() { close(l.frozen) }) }

func (l *proxyLine) octets(dir Direction) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.passed[dir]
}

// run connects the two ends and carries octets until both have ended.
func (l *proxyLine) run() {
	defer func() { _ = l.client.Close() }()
	// SYN there, SYN-ACK back, ACK there: only then has the server a client.
	if !l.wait(l.opened.Add(3 * l.p.o.Delay)) {
		return
	}
	conn, err := net.Dial("tcp", l.p.target)
	if err != nil {
		return
	}
	server := conn.(*net.TCPConn)
	defer func() { _ = server.Close() }()

	var carrying sync.WaitGroup
	carried := make(chan struct{})
	// The client may speak when the SYN-ACK is back.
	carrying.Go(func() { l.carry(Up, server, l.client, l.opened.Add(2*l.p.o.Delay)) })
	carrying.Go(func() { l.carry(Down, l.client, server, l.opened) })
	go func() { // ends with the two that it waits for
		carrying.Wait()
		close(carried)
	}()
	select {
	case <-carried:
		return
	case <-l.severed:
		l.end(server)
	case <-l.p.done:
	}
	select {
	case <-carried:
	case <-l.p.done:
	}
	_ = l.client.Close()
	_ = server.Close()
	<-carried
}

// end shows both sides the end of the line. What they still send is read and
// dropped by carry, for two seconds at most: to close over unread octets would
// be a reset, which could destroy the last ones passed.
func (l *proxyLine) end(server *net.TCPConn) {
	deadline := time.Now().Add(2 * time.Second)
	for _, conn := range []*net.TCPConn{l.client, server} {
		_ = conn.CloseWrite()
		_ = conn.SetDeadline(deadline)
	}
}

// wait sleeps until t; false: the line has been cut or the proxy closed.
func (l *proxyLine) wait(t time.Time) bool {
	delay := time.NewTimer(max(0, time.Until(t)))
	defer delay.Stop()
	select {
	case <-delay.C:
		return true
	case <-l.severed:
	case <-l.p.done:
	}
	return false
}

// chunk is a run of octets on its way; nil octets are the end.
type chunk struct {
	octets []byte
	due    time.Time
}

// carry passes octets from src to dst. Each is stamped when it is read, no
// earlier than notBefore, and written Delay later, while others follow it.
func (l *proxyLine) carry(dir Direction, dst, src *net.TCPConn, notBefore time.Time) {
	way := make(chan chunk, 4096)
	var reading sync.WaitGroup
	reading.Go(func() { l.read(way, src, notBefore) })
	l.write(dir, dst, way)
	for range way { // the reader must not block on what nobody wants
	}
	reading.Wait()
}

func (l *proxyLine) read(way chan<- chunk, src *net.TCPConn, notBefore time.Time) {
	defer close(way)
	buffer := make([]byte, 64<<10)
	for {
		n, err := src.Read(buffer)
		stamp := time.Now()
		if stamp.Before(notBefore) {
			stamp = notBefore
		}
		c := chunk{due: stamp.Add(l.p.o.Delay)}
		if n > 0 {
			c.octets = append([]byte{}, buffer[:n]...)
			way <- c
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				way <- chunk{due: c.due}
			} else {
				l.cut() // a reset on one side ends the other
			}
			return
		}
	}
}

// write passes on what is due, as far as the options let it.
func (l *proxyLine) write(dir Direction, dst *net.TCPConn, way <-chan chunk) {
	cutAfter, freezeAfter := int64(-1), int64(-1)
	if l.p.o.CutAfter != nil {
		cutAfter = l.p.o.CutAfter(l.number, dir)
	}
	if l.p.o.FreezeAfter != nil {
		freezeAfter = l.p.o.FreezeAfter(l.number, dir)
	}
	if !l.stop(0, cutAfter, freezeAfter) {
		return
	}
	for c := range way {
		if !l.wait(c.due) || !l.flows() {
			return
		}
		if c.octets == nil {
			_ = dst.CloseWrite()
			return
		}
		passed := l.octets(dir)
		room := int64(len(c.octets))
		for _, limit := range []int64{cutAfter, freezeAfter} {
			if limit >= 0 {
				room = min(room, limit-passed)
			}
		}
		n, err := dst.Write(c.octets[:room])
		l.mu.Lock()
		l.passed[dir] += int64(n)
		l.mu.Unlock()
		if err != nil || !l.stop(passed+int64(n), cutAfter, freezeAfter) {
			return
		}
	}
}

// stop cuts or freezes the line if so many octets are its end; false: it was.
func (l *proxyLine) stop(passed, cutAfter, freezeAfter int64) bool {
	switch passed {
	case cutAfter:
		l.cut()
	case freezeAfter:
		l.freeze()
		return l.flows()
	default:
		return true
	}
	return false
}

// flows waits as long as the line is frozen; false: it has ended.
func (l *proxyLine) flows() bool {
	select {
	case <-l.frozen:
	default:
		return true
	}
	select {
	case <-l.severed:
	case <-l.p.done:
	}
	return false
}
