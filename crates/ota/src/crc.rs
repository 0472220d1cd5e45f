//! The CRC-32 of IEEE 802.3, by a table of sixteen words: 64 bytes of flash, not 1,024.

const TABLE: [u32; 16] = table();

const fn table() -> [u32; 16] {
    let mut table = [0; 16];
    let mut index = 0;
    while index < 16 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 4 {
            value = if value & 1 == 1 {
                (value >> 1) ^ 0xEDB8_8320
            } else {
                value >> 1
            };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

/// The sum of `bytes`, as zlib's `crc32(0, bytes)`.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    !update(u32::MAX, bytes)
}

/// As the ROM of ESP32 has it, `esp_rom_crc32_le(seed, bytes)`: the seed is inverted before, the sum after.
pub(crate) fn crc32_esp(seed: u32, bytes: &[u8]) -> u32 {
    !update(!seed, bytes)
}

fn update(mut state: u32, bytes: &[u8]) -> u32 {
    for byte in bytes {
        state ^= u32::from(*byte);
        state = (state >> 4) ^ TABLE[(state & 15) as usize];
        state = (state >> 4) ^ TABLE[(state & 15) as usize];
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_catalogue_comes_out() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn sequence_one_has_the_sum_that_esp_idf_writes() {
        assert_eq!(crc32_esp(u32::MAX, &1u32.to_le_bytes()), 0x4743_989A);
    }
}
