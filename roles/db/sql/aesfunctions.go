package sql

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
)

func init() {
	for name, crypt := range map[string]func(aesMode, []byte, cipher.Block, []byte) any{"aes_encrypt": encryptAES, "aes_decrypt": decryptAES} {
		ownFunctions[name] = gms.FunctionN{Name: name, Fn: func(_ *gms.Context, args ...gms.Expression) (gms.Expression, error) {
			switch {
			case len(args) < 2 || len(args) > 6:
				return nil, wrongCount(name)
			case len(args) > 3:
				return nil, notAvailable(strings.ToUpper(name) + " with a key derivation function")
			}
			return &ownFunction{name, args, always(types.LongBlob), func(ctx *gms.Context, f *ownFunction, args []any) (any, error) {
				return cryptAES(ctx, f, args, crypt)
			}}, nil
		}}
	}
}

// aesMode is what block_encryption_mode says.
type aesMode struct {
	key   int // bytes
	chain bool
}

// aesModeNow reads the session's block_encryption_mode: ECB and CBC are there.
func aesModeNow(ctx *gms.Context) (aesMode, error) {
	v, err := ctx.GetSessionVariable(ctx, "block_encryption_mode")
	if err != nil {
		return aesMode{}, err
	}
	text, _ := v.(string)
	sizes := map[string]int{"aes-128": 16, "aes-192": 24, "aes-256": 32}
	text = strings.ToLower(text)
	size, mode := text[:max(strings.LastIndex(text, "-"), 0)], text[strings.LastIndex(text, "-")+1:]
	if sizes[size] == 0 || mode != "ecb" && mode != "cbc" {
		return aesMode{}, notAvailable("block_encryption_mode = " + text)
	}
	return aesMode{sizes[size], mode == "cbc"}, nil
}

// cryptAES is AES_ENCRYPT and AES_DECRYPT: the key is folded to its length, what is to be
// encrypted is filled up to whole blocks.
func cryptAES(ctx *gms.Context, f *ownFunction, args []any, crypt func(aesMode, []byte, cipher.Block, []byte) any) (any, error) {
	mode, err := aesModeNow(ctx)
	if err != nil {
		return nil, err
	}
	var texts [3][]byte
	for i, a := range args {
		v, _, err := types.LongBlob.Convert(ctx, a)
		if err != nil {
			return nil, err
		}
		texts[i] = v.([]byte)
	}
	switch iv := texts[2]; {
	case mode.chain && len(args) < 3:
		return nil, wrongCount(f.name)
	case mode.chain && len(iv) < aes.BlockSize:
		return nil, mysqlError(1882, "The initialization vector supplied to %s is too short. Must be at least %d bytes long", f.name, aes.BlockSize)
	case !mode.chain && len(args) == 3:
		ctx.Warn(1618, "<IV> option ignored")
	}
	key := make([]byte, mode.key)
	for i, b := range texts[1] {
		key[i%len(key)] ^= b
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return crypt(mode, texts[0], block, texts[2]), nil
}

func encryptAES(mode aesMode, text []byte, block cipher.Block, iv []byte) any {
	fill := aes.BlockSize - len(text)%aes.BlockSize
	out := append(bytes.Clone(text), bytes.Repeat([]byte{byte(fill)}, fill)...)
	if mode.chain {
		cipher.NewCBCEncrypter(block, iv[:aes.BlockSize]).CryptBlocks(out, out)
		return out
	}
	for at := 0; at < len(out); at += aes.BlockSize {
		block.Encrypt(out[at:], out[at:])
	}
	return out
}

// decryptAES returns nil for what was not encrypted so.
func decryptAES(mode aesMode, text []byte, block cipher.Block, iv []byte) any {
	if len(text) == 0 || len(text)%aes.BlockSize != 0 {
		return nil
	}
	out := make([]byte, len(text))
	if mode.chain {
		cipher.NewCBCDecrypter(block, iv[:aes.BlockSize]).CryptBlocks(out, text)
	} else {
		for at := 0; at < len(out); at += aes.BlockSize {
			block.Decrypt(out[at:], text[at:])
		}
	}
	fill := int(out[len(out)-1])
	if fill == 0 || fill > aes.BlockSize || !bytes.HasSuffix(out, bytes.Repeat([]byte{byte(fill)}, fill)) {
		return nil
	}
	return out[:len(out)-fill]
}
