//go:build linux

package powercut

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// The disks are served by another process than the one that uses them. A
// process that did both could not be killed: one thread would wait for its
// disk, which the others, already dead, no longer serve, while /dev/fuse stays
// open until that thread has ended.

// maxRequest bounds one read or write of a disk, in octets.
const maxRequest = 1 << 20

// maxDisks is how many disks a recorder may have: a request for service carries
// their descriptors, the log's two and that of /dev/fuse in one message.
const maxDisks = 8

// serveRecorders serves the disks of all recorders that ask for it on socket,
// until the other end is closed and the last of them is unmounted.
func serveRecorders(socket *os.File) error {
	var servers sync.WaitGroup
	defer servers.Wait()
	for {
		device, files, err := receiveRequest(socket)
		if err != nil {
			return err
		}
		if files == nil {
			return nil
		}
		server, err := serve(device, files)
		answer := []byte("ok")
		if err != nil {
			answer = []byte(err.Error())
			closeAll(files)
		} else {
			servers.Go(func() { server.Wait(); closeAll(files) })
		}
		if err := unix.Send(int(socket.Fd()), answer, unix.MSG_NOSIGNAL); err != nil && err != unix.EPIPE {
			return fmt.Errorf("answer recorder: %w", err)
		}
	}
}

// serve starts to serve one recorder: device is the descriptor of /dev/fuse,
// which belongs to the server from now on; files are the log's index and data,
// and the disks. The server ends when the file system is unmounted.
func serve(device int, files []*os.File) (*fuse.Server, error) {
	log := &logWriter{index: files[0], data: files[1]}
	root := &folder{}
	for i, file := range files[2:] {
		info, err := file.Stat()
		if err != nil {
			return nil, fmt.Errorf("serve disk: %w", err)
		}
		root.disks = append(root.disks, &node{number: i, size: info.Size(), file: file, log: log})
	}
	mounted := fmt.Sprintf("/dev/fd/%d", device)
	server, err := fs.Mount(mounted, root, &fs.Options{MountOptions: fuse.MountOptions{
		DisableXAttrs: true,
		MaxWrite:      maxRequest,
	}})
	if err != nil {
		return nil, fmt.Errorf("serve disks: %w", err)
	}
	return server, nil
}

// receiveRequest returns the descriptor of /dev/fuse and the files; there are
// none when the other end is closed.
func receiveRequest(socket *os.File) (device int, files []*os.File, err error) {
	text, control := make([]byte, 16), make([]byte, unix.CmsgSpace(4*(maxDisks+3)))
	_, n, err := retry(func() (int, int, error) {
		a, b, _, _, err := unix.Recvmsg(int(socket.Fd()), text, control, unix.MSG_CMSG_CLOEXEC)
		return a, b, err
	})
	if err != nil || n == 0 {
		return -1, nil, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil {
		return -1, nil, fmt.Errorf("receive descriptors: %w", err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return -1, nil, fmt.Errorf("receive descriptors: %w", err)
	}
	for i, fd := range fds[1:] {
		files = append(files, os.NewFile(uintptr(fd), fmt.Sprintf("received %d", i)))
	}
	return fds[0], files, nil
}

// askForService sends the files to the other end, which serves them from now
// on, and waits for its word.
func askForService(socket *os.File, files []*os.File) error {
	fds := make([]int, len(files))
	for i, file := range files {
		fds[i] = int(file.Fd())
	}
	if err := unix.Sendmsg(int(socket.Fd()), []byte("serve"), unix.UnixRights(fds...), nil, 0); err != nil {
		return fmt.Errorf("ask for service: %w", err)
	}
	text := make([]byte, 4096)
	n, _, err := retry(func() (int, int, error) {
		n, _, err := unix.Recvfrom(int(socket.Fd()), text, 0)
		return n, 0, err
	})
	switch {
	case err != nil:
		return fmt.Errorf("ask for service: %w", err)
	case n == 0:
		return errors.New("ask for service: the other end is closed")
	case string(text[:n]) != "ok":
		return errors.New(string(text[:n]))
	}
	return nil
}

func retry(call func() (int, int, error)) (a, b int, err error) {
	for {
		if a, b, err = call(); err != unix.EINTR {
			return a, b, err
		}
	}
}

func closeAll(files []*os.File) {
	for _, file := range files {
		_ = file.Close()
	}
}
