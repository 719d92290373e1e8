//! The Huffman code of strings (RFC 7541 §5.2, Appendix B). The decoder reads four bits at a time: no code is shorter than five,
//! so that they end at most one.

/// The symbols: the bytes, and the end of the string.
const SYMBOLS: usize = 257;

/// The symbol that is never sent, except for its first bits as padding.
const END: usize = 256;

/// The nodes of the code's tree that have children.
const NODES: usize = SYMBOLS - 1;

/// The length of the code of each symbol, in bits. It is a canonical code: those of one length are consecutive numbers in the order
/// of their symbols, and begin after the shorter ones.
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12,
    10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6,
    5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22,
    22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20,
    22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28,
    27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28,
    27, 27, 27, 27, 27, 26, 30,
];

/// The longest code, in bits.
const MAX_LENGTH: u8 = 30;

/// The code of each symbol, in its lowest bits.
const CODES: [u32; SYMBOLS] = {
    let mut codes = [0; SYMBOLS];
    let (mut code, mut length) = (0u32, 1);
    while length <= MAX_LENGTH {
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] == length {
                codes[symbol] = code;
                code += 1;
            }
            symbol += 1;
        }
        code <<= 1;
        length += 1;
    }
    codes
};

/// What four bits lead to from a node.
#[derive(Clone, Copy)]
struct Step {
    /// The node after them.
    node: u8,
    /// The symbol that they end, if they end one.
    symbol: u8,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Within,
    Ends,
    /// They end the symbol that is never sent.
    Invalid,
}

/// The children of each node: a node, or NODES and a symbol. The first is the root.
const TREE: [[u16; 2]; NODES] = {
    let mut tree = [[u16::MAX; 2]; NODES];
    let (mut nodes, mut symbol) = (1u16, 0);
    while symbol < SYMBOLS {
        let (mut node, mut bit) = (0, LENGTHS[symbol]);
        while bit > 1 {
            bit -= 1;
            let child = &mut tree[node][(CODES[symbol] >> bit & 1) as usize];
            if *child == u16::MAX {
                *child = nodes;
                nodes += 1;
            }
            node = *child as usize;
        }
        tree[node][(CODES[symbol] & 1) as usize] = (NODES + symbol) as u16;
        symbol += 1;
    }
    tree
};

static STEPS: [[Step; 16]; NODES] = {
    let mut steps = [[Step { node: 0, symbol: 0, kind: Kind::Within }; 16]; NODES];
    let mut from = 0;
    while from < NODES {
        let mut bits = 0;
        while bits < 16 {
            let (mut node, mut step, mut bit) = (from, Step { node: 0, symbol: 0, kind: Kind::Within }, 4);
            while bit > 0 {
                bit -= 1;
                let child = TREE[node][bits >> bit & 1] as usize;
                if child == NODES + END {
                    step.kind = Kind::Invalid;
                    node = 0;
                } else if child >= NODES {
                    step.symbol = (child - NODES) as u8;
                    step.kind = Kind::Ends;
                    node = 0;
                } else {
                    node = child;
                }
            }
            step.node = node as u8;
            steps[from][bits] = step;
            bits += 1;
        }
        from += 1;
    }
    steps
};

/// Whether a string may end at a node: the bits since its last symbol are less than a byte of ones.
static MAY_END: [bool; NODES] = {
    let mut may_end = [false; NODES];
    let (mut node, mut depth) = (0, 0);
    while depth < 8 {
        may_end[node] = true;
        node = TREE[node][1] as usize;
        depth += 1;
    }
    may_end
};

/// Appends what `bytes` stand for, at most 8/5 of their number. None if they are no string: they contain the symbol for the end, or
/// their padding is none.
pub fn decode(bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut node = 0;
    for byte in bytes {
        for bits in [byte >> 4, byte & 15] {
            let step = STEPS[node][usize::from(bits)];
            match step.kind {
                Kind::Within => {}
                Kind::Ends => out.push(step.symbol),
                Kind::Invalid => return None,
            }
            node = usize::from(step.node);
        }
    }
    MAY_END[node].then_some(())
}

/// Returns the number of bytes that `text` takes.
pub fn encoded_bytes(text: &[u8]) -> usize {
    text.iter().map(|&byte| usize::from(LENGTHS[usize::from(byte)])).sum::<usize>().div_ceil(8)
}

/// Appends the code of `text`, padded with ones.
pub fn encode(text: &[u8], out: &mut Vec<u8>) {
    let (mut bits, mut count) = (0u64, 0);
    for &byte in text {
        let (code, length) = (CODES[usize::from(byte)], LENGTHS[usize::from(byte)]);
        bits = bits << length | u64::from(code);
        count += u32::from(length);
        while count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    if count > 0 {
        out.push((bits << (8 - count)) as u8 | (0xff >> count));
    }
}
