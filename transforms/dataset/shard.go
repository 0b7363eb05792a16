package dataset

import "fmt"

// ShardName returns the name of shard k of a split with the given number of
// shards.
func ShardName(split string, k, shards int) string {
	return fmt.Sprintf("%s-%05d-of-%05d.tfrecord", split, k, shards)
}

// ShardRange returns the ranks lo ≤ rank < hi of n that shard k holds. The first
// n mod shards shards hold one more than the rest.
func ShardRange(n int64, shards, k int) (lo, hi int64) {
	each, more := n/int64(shards), n%int64(shards)
	lo = each*int64(k) + min(int64(k), more)
	hi = lo + each
	if int64(k) < more {
		hi++
	}
	return lo, hi
}

// shardOf returns the shard that holds a rank of n, and its first rank.
func shardOf(n int64, shards int, rank int64) (k int, lo int64) {
	each, more := n/int64(shards), n%int64(shards)
	if long := more * (each + 1); rank < long {
		k = int(rank / (each + 1))
	} else {
		k = int(more + (rank-long)/each)
	}
	lo, _ = ShardRange(n, shards, k)
	return k, lo
}
