//go:build !linux

package corpus

import (
	"os"
	"time"
)

// changeTime returns the time of modification: other systems have no inode here.
func changeTime(info os.FileInfo) (time.Time, uint64) { return info.ModTime(), 0 }
