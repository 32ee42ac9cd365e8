export { looksLikePass, newPassToken, passPrefix, passTokenKind, type PassKind } from '../base/pass-token.ts';
