import { model as defineModel } from '../model/model';
import { order } from './order/entity';
import { orderSummary } from './order/projections';
import { payment } from './payment/entity';
import { userBalance } from './payment/projections';
import { product } from './product/entity';
import { productSearch } from './product/projections';

/** The shop: the example and default model. A new entity is one folder and one line here. */
export const model = defineModel({
  entities: [order, payment, product],
  projections: [orderSummary, userBalance, productSearch],
});
