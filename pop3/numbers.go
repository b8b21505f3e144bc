package pop3

import "math"

// numbers is what is known about each message number of a listing. It grows
// with the numbers that occur, not with the highest one, so that a server
// cannot make us allocate by naming a large number: 4 octets for each message,
// 21 MB at most.
type numbers struct {
	blocks [][]uint32 // nil where no number of the block has occurred
	listed [][]uint64 // one bit a number
}

const blockSize = 4096

// block returns where a number's facts are, making room for them.
func (s *numbers) block(n int) (octets []uint32, listed []uint64, i int) {
	k := n / blockSize
	for len(s.blocks) <= k {
		s.blocks, s.listed = append(s.blocks, nil), append(s.listed, nil)
	}
	if s.blocks[k] == nil {
		s.blocks[k], s.listed[k] = make([]uint32, blockSize), make([]uint64, blockSize/64)
	}
	return s.blocks[k], s.listed[k], n % blockSize
}

// setOctets notes an announced size; false if the number has one already. What
// is kept is one more than the size, so that 0 means none.
func (s *numbers) setOctets(n int, octets int64) bool {
	b, _, i := s.block(n)
	if b[i] != 0 {
		return false
	}
	b[i] = uint32(min(octets, math.MaxUint32-1)) + 1
	return true
}

// octets returns the announced size or -1.
func (s *numbers) octets(n int) int64 {
	b, _, i := s.block(n)
	return int64(b[i]) - 1
}

// setListed notes that the number was passed on; false if it was before.
func (s *numbers) setListed(n int) bool {
	_, b, i := s.block(n)
	if bit := uint64(1) << (i % 64); b[i/64]&bit == 0 {
		b[i/64] |= bit
		return true
	}
	return false
}

// unlisted calls each with the numbers that have a size and were not passed on.
func (s *numbers) unlisted(each func(n int) error) error {
	for k, b := range s.blocks {
		for i, octets := range b {
			if octets == 0 || !s.setListed(k*blockSize+i) {
				continue
			}
			if err := each(k*blockSize + i); err != nil {
				return err
			}
		}
	}
	return nil
}
