//go:build linux

package main

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"postrider/mailtest"
)

// newFront stands before a server that knows no logins and takes every one, as
// accounts of the configuration have to have one. All else goes through as it is.
// It returns its port.
func newFront(t *testing.T, server *mailtest.RealSMTP) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // closed
			}
			running.Go(func() {
				defer client.Close()
				conn, err := server.Dial(server.Port)
				if err != nil {
					return // which the client sees
				}
				defer conn.Close()
				stop := make(chan struct{})
				running.Go(func() { // the test's end is its end
					select {
					case <-stop:
					case <-t.Context().Done():
						client.Close()
						conn.Close()
					}
				})
				defer close(stop)
				passOn(client, conn)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		running.Wait()
	})
	return listener.Addr().(*net.TCPAddr).Port
}

// passOn serves one connection until one end closes it.
func passOn(client, server net.Conn) {
	in, out := bufio.NewReader(client), bufio.NewReader(server)
	if !passReply(client, out, "") {
		return
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " ")
		if verb == "AUTH" {
			if _, err := io.WriteString(client, "235 2.7.0 whoever you are\r\n"); err != nil {
				return
			}
			break
		}
		added := ""
		if verb == "EHLO" {
			added = "250-AUTH PLAIN\r\n"
		}
		if _, err := io.WriteString(server, line); err != nil || !passReply(client, out, added) {
			return
		}
	}
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(client, out)
		client.Close()
	})
	_, _ = io.Copy(server, in)
	// The client has closed, or has been cut: so is the server.
	server.Close()
	back.Wait()
}

// passReply passes a reply on, with a line put in behind its first one.
func passReply(client net.Conn, server *bufio.Reader, added string) bool {
	for {
		line, err := server.ReadString('\n')
		if err != nil {
			return false
		}
		if _, err := io.WriteString(client, line+map[bool]string{true: added}[len(line) > 3 && line[3] == '-']); err != nil {
			return false
		}
		if len(line) < 4 || line[3] != '-' {
			return true
		}
		added = ""
	}
}
