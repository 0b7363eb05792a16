package store

import "syscall"

// OpenFiles returns how many files somebody may keep open: one part in parts of those that
// the process may open, at least 4 and at most most.
func OpenFiles(parts, most int) int {
	const least = 4
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return least
	}
	return int(max(least, min(uint64(most), uint64(limit.Cur)/uint64(parts))))
}
