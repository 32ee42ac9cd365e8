import { openEmbedded } from '../support/place.ts';
import { imagesSuite } from './images-suite.ts';

imagesSuite('at the embedded forge', openEmbedded, 200);
