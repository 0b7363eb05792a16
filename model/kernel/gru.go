package kernel

// TmpWidth returns the width of a row of tmp, the values of a step that the
// backward pass reads: four blocks of H, and a cache line, which keeps rows of a
// power-of-two width out of each other's cache sets.
func TmpWidth(H int) int { return 4*H + 16 }

// GRUForward computes units lo … hi-1 of one time step of a GRU cell from its
// pre-activations.
//
//	r  = σ(x_r + a_r)            z = σ(x_z + a_z)
//	n  = tanh(x_n + r·a_n)       h' = n + z·(h - n)
//
// The reset gate multiplies the recurrent product (cuDNN, PyTorch, and Keras
// with reset_after), not the hidden before it.
//
//	x    rows of (3H): W_ih·input + b_ih, gates r, z, n; batch row b reads
//	     row ids[b] of x, or row b where ids is nil
//	tmp  (B, TmpWidth): on entry the first 3H columns hold a = W_hh·h + b_hh in
//	     gates r, z, n; on return r, z, a_n, n, which GRUBackward reads
//	h    (B, H)  hidden before the step
//	out  (B, H)  hidden after it; may be h
//
// Nothing else may overlap.
func GRUForward(x []float32, ids []int32, tmp, h, out []float32, B, H, lo, hi int) {
	n := whole(hi - lo)
	for b := 0; b < B; b++ {
		x, tmp, h, out := row(x, ids, b, 3*H), tmp[b*TmpWidth(H):(b+1)*TmpWidth(H)], h[b*H:(b+1)*H], out[b*H:(b+1)*H]
		if n > 0 {
			use.gruForward(n, &x[lo], &x[H+lo], &x[2*H+lo], &tmp[lo], &tmp[H+lo], &tmp[2*H+lo], &tmp[3*H+lo], &h[lo], &out[lo])
		}
		gruForward(x, tmp, h, out, H, lo+n, hi)
	}
}

func gruForward(x, tmp, h, out []float32, H, lo, hi int) {
	for j := lo; j < hi; j++ {
		an := tmp[2*H+j]
		r := Sigmoid(x[j] + tmp[j])
		z := Sigmoid(x[H+j] + tmp[H+j])
		n := Tanh(FMA(r, an, x[2*H+j]))
		out[j] = FMA(z, h[j]-n, n)
		tmp[j], tmp[H+j], tmp[3*H+j] = r, z, n
	}
}

// GRUBackward turns the values that GRUForward left in tmp into gradients, for
// units lo … hi-1.
//
//	tmp   (B, TmpWidth): on entry r, z, a_n, n; on return the gradients of a_r = x_r,
//	      a_z = x_z, a_n and x_n: columns 0 … 3H are the recurrent side, columns
//	      0 … 2H and 3H … 4H the input side
//	h     (B, H)  hidden before the step
//	dout  (B, H)  gradient of the step's output
//	dh    (B, H): on entry the gradient of the hidden after the step from later
//	      steps; on return the part of the gradient of h that does not go
//	      through W_hh
//
// Nothing may overlap.
func GRUBackward(tmp, h, dout, dh []float32, B, H, lo, hi int) {
	n := whole(hi - lo)
	for b := 0; b < B; b++ {
		tmp, h, dout, dh := tmp[b*TmpWidth(H):(b+1)*TmpWidth(H)], h[b*H:(b+1)*H], dout[b*H:(b+1)*H], dh[b*H:(b+1)*H]
		if n > 0 {
			use.gruBackward(n, &tmp[lo], &tmp[H+lo], &tmp[2*H+lo], &tmp[3*H+lo], &h[lo], &dout[lo], &dh[lo])
		}
		gruBackward(tmp, h, dout, dh, H, lo+n, hi)
	}
}

func gruBackward(tmp, h, dout, dh []float32, H, lo, hi int) {
	for j := lo; j < hi; j++ {
		r, z, an, n, d := tmp[j], tmp[H+j], tmp[2*H+j], tmp[3*H+j], dh[j]+dout[j]
		dxn := d * (1 - z) * FMA(-n, n, 1)
		tmp[j] = dxn * an * (r * (1 - r))
		tmp[H+j] = d * (h[j] - n) * (z * (1 - z))
		tmp[2*H+j] = dxn * r
		tmp[3*H+j] = dxn
		dh[j] = d * z
	}
}

// row returns the row of x, of width w, that batch row b reads.
func row(x []float32, ids []int32, b, w int) []float32 {
	if ids != nil {
		b = int(ids[b])
	}
	return x[b*w : (b+1)*w]
}
