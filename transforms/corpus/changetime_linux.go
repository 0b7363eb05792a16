package corpus

import (
	"os"
	"syscall"
	"time"
)

// changeTime returns the time of the last change of a file or of its metadata, and
// the file's inode. Unlike the time of modification, a program cannot set it.
func changeTime(info os.FileInfo) (time.Time, uint64) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return info.ModTime(), 0
	}
	return time.Unix(st.Ctim.Unix()), st.Ino
}
